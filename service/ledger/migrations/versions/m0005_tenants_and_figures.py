"""API keys of tenants, idempotency keys by tenant, what a job reads as a line of a list, figures that only grow."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, the column and its index."""
    op.add_column("job", sa.Column("sources", sa.String(length=200), server_default="", nullable=False))
    op.create_index("job_tenant", "job", ["tenant", "seq"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=128), nullable=False),
        sa.Column("requests_per_s", sa.Float(), server_default="0", nullable=False),
        sa.Column("most_open_jobs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "figure",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", "part"),
    )
    # SQLite cannot change a primary key: the table is made anew.
    op.create_table(
        "idempotency_by_tenant",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.execute("INSERT INTO idempotency_by_tenant SELECT '', key, body_sha256, job_id, created_at FROM idempotency")
    op.drop_table("idempotency")
    op.rename_table("idempotency_by_tenant", "idempotency")
