"""Jobs that wait for jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of inputs."""
    op.create_table(
        "job_input",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("pointer", sa.String(length=64), nullable=False),
        sa.Column("input_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.ForeignKeyConstraint(["input_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id", "pointer"),
    )
