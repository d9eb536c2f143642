"""Jobs that are deleted: by request, or because they ended longer ago than jobs are kept.

Rows go at once, and with them what holds the job's files in the store: `Collector` then removes those that no other
job published. What a snapshot of a dataset holds stays, and so does what a job that has not ended needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Connection, Engine, TextClause, delete, exists, or_, select, text

from service.ledger import tables
from service.ledger.clock import JumpGuard, now
from service.ledger.database import reading, writing
from service.storage import audit

DAY_S = 86400.0
MOST_AT_ONCE, MOST_BATCHES = 50, 4  # one transaction, in which others wait; one sweep
RETENTION = "retention"
_job, _input = tables.job, tables.job_input
_dependent = _job.alias("dependent")


_ENDED = """
SELECT job.id FROM job {index}
WHERE state IN ('succeeded', 'failed', 'cancelled') AND job.updated_at < :before
  AND NOT EXISTS (SELECT 1 FROM snapshot WHERE snapshot.job_id = job.id)
  AND NOT EXISTS (
    SELECT 1 FROM job_input JOIN job AS dependent ON dependent.id = job_input.job_id
    WHERE job_input.input_id = job.id AND dependent.state NOT IN ('succeeded', 'failed', 'cancelled')
  )
ORDER BY job.updated_at LIMIT :most
"""


class JobOpen(Exception):
    """The job has not ended."""


class JobInUse(Exception):
    """The job is a snapshot of a dataset, or another job that has not ended needs it."""


class Removals:
    """Deletes jobs of a ledger."""

    def __init__(self, engine: Engine, *, retain_days: float = 0.0) -> None:
        """Keep jobs for `retain_days` after their end; 0 = for ever."""
        self._engine, self._retain_days = engine, retain_days
        self._guard, self._suspended = JumpGuard(lease_s=60.0), False

    def delete(self, job_id: str, *, actor: str) -> bool:
        """Delete a job that has ended; False if there is none. Raises JobOpen or JobInUse."""
        with writing(self._engine) as connection:
            query = select(_job, _in_use().label("in_use")).where(_job.c.id == job_id)
            row = connection.execute(query.with_for_update(of=_job)).one_or_none()
            if row is None:
                return False
            if row.state not in tables.TERMINAL:
                raise JobOpen(row.state)
            # Again, under the lock: a job that needs this one may have come before it was taken.
            if connection.execute(select(_in_use()).where(_job.c.id == job_id)).scalar_one():
                raise JobInUse(job_id)
            _remove(connection, [row], actor, now(connection))
        return True

    def sweep(self) -> int:
        """Delete jobs that ended too long ago, some at a time; return how many.

        After the ledger's clock was set nothing is deleted until this process is started again: a year that did not
        pass must not delete a year of jobs.
        """
        if not self._retain_days or self._suspended:
            return 0
        count = 0
        for _ in range(MOST_BATCHES):
            found = self._due()
            count += self._delete_old(found) if found else 0
            if len(found) < MOST_AT_ONCE:
                break
        return count

    def _due(self) -> list[str]:
        with reading(self._engine) as connection:
            at, jumped = self._guard.look(connection)
            if jumped:
                self._suspended = True
                structlog.get_logger().warning("retention.suspended", reason="the ledger's clock was set")
                return []
            values = {"before": at - self._retain_days * DAY_S, "most": MOST_AT_ONCE}
            return list(connection.execute(ended(connection), values).scalars())

    def _delete_old(self, ids: Sequence[str]) -> int:
        with writing(self._engine) as connection:
            lock = select(_job.c.id).where(_job.c.id.in_(ids)).order_by(_job.c.seq).with_for_update(skip_locked=True)
            locked = connection.execute(lock).scalars().all()
            rows = connection.execute(select(_job).where(_job.c.id.in_(locked), ~_in_use())).all()
            if rows:
                _remove(connection, rows, RETENTION, now(connection))
        return len(rows)


def ended(connection: Connection) -> TextClause:
    """Return the query of the jobs that ended first and that nothing needs."""
    # Left to itself, SQLite takes the index of states and sorts all that ended.
    return text(_ENDED.format(index="INDEXED BY job_ended" if connection.dialect.name == "sqlite" else ""))


def _in_use() -> ColumnElement[bool]:
    needed = select(_input.c.job_id).join(_dependent, _dependent.c.id == _input.c.job_id)
    needed = needed.where(_input.c.input_id == _job.c.id, _dependent.c.state.in_(tables.OPEN))
    published = select(tables.snapshot.c.number).where(tables.snapshot.c.job_id == _job.c.id)
    return or_(exists(needed.correlate(_job)), exists(published.correlate(_job)))


def _remove(connection: Connection, rows: Sequence[Any], actor: str, at: float) -> None:
    ids = [row.id for row in rows]
    for table in (tables.artifact, tables.event, tables.attempt, tables.idempotency, tables.stage_lease):
        connection.execute(delete(table).where(table.c.job_id.in_(ids)))
    connection.execute(delete(_input).where(or_(_input.c.job_id.in_(ids), _input.c.input_id.in_(ids))))
    connection.execute(delete(_job).where(_job.c.id.in_(ids)))
    for row in rows:
        detail = {name: getattr(row, name) for name in ("kind", "state", "sources", "created_at", "updated_at")}
        line = {"tenant": row.tenant, "actor": actor, "action": audit.JOB_DELETED, "subject": row.id}
        audit.note(connection, at, **line, detail=detail)
