"""A queue of tenants and priorities with partial indexes, deaths of machines counted apart, leases of stages."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INDEXES = {
    "job_next": "tenant, rank, seq) WHERE state IN ('queued'",
    "job_oldest": "tenant, created_at) WHERE state IN ('queued'",
    "job_due": "state, run_at) WHERE state IN ('queued', 'retry_wait'",
    "job_leased": "lease_until) WHERE state IN ('running', 'committing', 'cancelling'",
}
SQLITE_TRIGGER = """
CREATE TRIGGER event_is_final BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event never changes'); END
"""
POSTGRES_FUNCTION = """
CREATE FUNCTION event_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an event never changes' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER event_is_final BEFORE UPDATE ON event FOR EACH ROW EXECUTE FUNCTION event_is_final()
"""


def upgrade() -> None:
    """Add the columns, tables, indexes and triggers; rows that have ended cannot be written and keep the defaults."""
    for column in (
        sa.Column("tenant", sa.String(length=64), server_default="", nullable=False),
        sa.Column("rank", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state_at", sa.Float(), server_default="0", nullable=False),
    ):
        op.add_column("job", column)
    op.execute("UPDATE job SET state_at = updated_at WHERE state NOT IN ('succeeded', 'failed', 'cancelled')")
    op.create_table(
        "stage_lease",
        sa.Column("stage", sa.String(length=160), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("stage"),
    )
    op.create_table(
        "fair_share",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("served_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.drop_index("job_claim", "job")
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON job ({columns})")
    if op.get_bind().dialect.name == "sqlite":
        op.execute(SQLITE_TRIGGER)
    else:
        op.execute(POSTGRES_FUNCTION)
        op.execute(POSTGRES_TRIGGER)
