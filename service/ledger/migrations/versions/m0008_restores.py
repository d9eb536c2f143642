"""Jobs that make the damaged files of another one again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no job of before says that it is one of them."""
    op.add_column("job", sa.Column("restores", sa.String(length=36), server_default="", nullable=False))
