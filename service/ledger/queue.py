"""Which job comes next: tenants take turns, priorities count within a tenant, and nobody starves.

Every query reads a partial index from its start, so a claim costs the same with 100,000 jobs in the queue.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, TextClause, and_, func, insert, literal, select, text, update

from service.ledger import tables

_job, _share = tables.job, tables.fair_share
OLDEST_EVERY = 5  # every so many claims the job that waits longest is taken, whatever its priority
MOST_AT_ONCE = 100  # jobs whose pause is over, moved in one transaction

# Steps from tenant to tenant: `SELECT DISTINCT` would read every job of the queue.
_TENANTS = """
WITH RECURSIVE due(tenant) AS (
  SELECT (
    SELECT job.tenant FROM job {index} WHERE state IN ('queued') AND job.tenant >= '' ORDER BY job.tenant LIMIT 1
  )
  UNION ALL
  SELECT (
    SELECT job.tenant FROM job {index} WHERE state IN ('queued') AND job.tenant > due.tenant ORDER BY job.tenant LIMIT 1
  )
  FROM due WHERE due.tenant IS NOT NULL
)
SELECT due.tenant FROM due WHERE due.tenant IS NOT NULL
"""


def tenants(connection: Connection) -> TextClause:
    """Return the query of the tenants that have queued jobs."""
    # Left to itself, SQLite takes the index of states and sorts.
    return text(_TENANTS.format(index="INDEXED BY job_next" if connection.dialect.name == "sqlite" else ""))


def following(tenant: str, *, oldest: bool) -> Select[Any]:
    """Return the query of a tenant's next job."""
    query = select(_job).where(tables.QUEUED, _job.c.tenant == tenant)
    order = (_job.c.created_at,) if oldest else (_job.c.rank, _job.c.seq)
    return query.order_by(*order).limit(1).with_for_update(skip_locked=True)


def pauses_over(now: float) -> Select[Any]:
    """Return the query of the jobs whose pause is over."""
    over = and_(tables.UNCLAIMED, _job.c.state == "retry_wait", _job.c.run_at <= now)
    return select(_job.c.id).where(over).order_by(_job.c.run_at).limit(MOST_AT_ONCE)


def next_job(connection: Connection, now: float, *, oldest: bool) -> Any:
    """Return the locked row of the job to take next, or None; the tenant with the fewest running jobs goes first."""
    _end_pauses(connection, now)
    for tenant in _in_turn(connection):
        row = connection.execute(following(tenant, oldest=oldest)).one_or_none()
        if row is not None:
            _served(connection, tenant, now)
            return row
    return None


def _end_pauses(connection: Connection, now: float) -> None:
    ids = connection.execute(pauses_over(now).with_for_update(skip_locked=True)).scalars().all()
    if not ids:
        return
    these, event = _job.c.id.in_(ids), tables.event
    numbered = select(_job.c.id, _job.c.last_event + 1, literal(now), literal("job.queued"), literal("{}"))
    columns = [event.c.job_id, event.c.seq, event.c.at, event.c.type, event.c.data]
    connection.execute(insert(event).from_select(columns, numbered.where(these)))
    values = {"state": "queued", "state_at": now, "updated_at": now, "version": _job.c.version + 1}
    connection.execute(update(_job).where(these).values(**values, last_event=_job.c.last_event + 1))


def _in_turn(connection: Connection) -> list[str]:
    found = connection.execute(tenants(connection)).scalars().all()
    if len(found) < 2:
        return list(found)
    counts = select(_job.c.tenant, func.count()).where(tables.HELD).group_by(_job.c.tenant)
    running = {row[0]: row[1] for row in connection.execute(counts)}
    served = {row.tenant: row.served_at for row in connection.execute(select(_share))}
    return sorted(found, key=lambda tenant: (running.get(tenant, 0), served.get(tenant, 0.0), tenant))


def _served(connection: Connection, tenant: str, now: float) -> None:
    # Two executors may serve a new tenant at once.
    row = "INSERT INTO fair_share (tenant, served_at) VALUES (:tenant, :at)"
    latest = text(f"{row} ON CONFLICT (tenant) DO UPDATE SET served_at = excluded.served_at")
    connection.execute(latest, {"tenant": tenant, "at": now})
