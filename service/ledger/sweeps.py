"""Updates of jobs that no executor makes: lost leases, time-outs of every state, inputs that ended, clocks that jump.

Any process may sweep, several at once; each change happens once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, or_, select, update

from recon.errors import MachineLost, StageTimeout
from service.ledger import blocked_jobs, tables
from service.ledger.changes import lose, move
from service.ledger.clock import JumpGuard, now
from service.ledger.database import reading, writing
from workers.retry import LONGEST_DELAY_S, MAX_LOSSES

_job = tables.job
LATE = {"code": "QUEUE_TIMEOUT", "where": "queue", "retryable": True}
AT_WORK = ("running", "committing")
MOST_AT_ONCE = 200  # one transaction: leases must be renewed meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a job may be in each state that is no end, and how many of its machines may die."""

    lease_s: float = 30.0
    queue_limit_s: float = 7 * 86400.0
    blocked_limit_s: float = 14 * 86400.0
    running_limit_s: float = 30 * 86400.0  # for the work, and again for publishing its result, however large
    ending_limit_s: float = 900.0  # for stopping a cancelled job
    max_losses: int = MAX_LOSSES


class Sweeper:
    """Sweeps one ledger."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._guard = JumpGuard(limits.lease_s)

    def sweep(self) -> int:
        """Return how many jobs changed."""
        with reading(self._engine) as connection:
            at, jumped = self._guard.look(connection)
        if jumped:
            self._count_anew()
            return 0
        return self._held(at) + self._unclaimed(at) + self._blocked()

    def release(self, owners: Collection[str]) -> int:
        """Take the jobs of executors that have died back into the queue; return how many."""
        if not owners:
            return 0
        dead = MachineLost("the executor died", hint="The job goes on from its finished stages.")
        with writing(self._engine) as connection:
            at = now(connection)
            rows = self._locked(connection, select(_job).where(tables.HELD, _job.c.owner.in_(owners)))
            for row in rows:
                lose(connection, row, dead, self._limits.max_losses, at)
        return len(rows)

    def _held(self, at: float) -> int:
        limits = self._limits
        too_long = or_(
            and_(_job.c.state.in_(AT_WORK), _job.c.state_at < at - limits.running_limit_s),
            and_(_job.c.state == "cancelling", _job.c.state_at < at - limits.ending_limit_s),
        )
        late = and_(tables.HELD, or_(_job.c.lease_until < at, too_long))
        return self._each(late, at, self._end_held)

    def _end_held(self, connection: Connection, row: Any, at: float) -> None:
        silent = MachineLost("the executor stopped answering", where=row.stage, hint="The job is tried again.")
        if row.state in AT_WORK and row.lease_until >= at:
            what = f"the job did not end within {self._limits.running_limit_s:.0f} s"
            error = StageTimeout(what, where=row.stage, hint="Split the drive, or raise ROADSCRIBE_RUNNING_LIMIT_S.")
            _fail(connection, row, error.record(), at)
        else:
            lose(connection, row, silent, self._limits.max_losses, at)

    def _unclaimed(self, at: float) -> int:
        # Measured from when the job last became due: a job that was given back waits anew.
        waited = and_(tables.UNCLAIMED, _job.c.run_at < at - self._limits.queue_limit_s)
        return self._each(waited, at, self._end_unclaimed)

    def _end_unclaimed(self, connection: Connection, row: Any, at: float) -> None:
        message = f"no executor took the job within {self._limits.queue_limit_s:.0f} s"
        _fail(connection, row, {**LATE, "message": message, "hint": "Start one with roadscribe serve."}, at)

    def _blocked(self) -> int:
        with reading(self._engine) as connection:  # mostly nothing: do not take the write lock for that
            due = blocked_jobs.due(connection, self._limits.blocked_limit_s)
        if not due:
            return 0
        with writing(self._engine) as connection:
            return blocked_jobs.settle(connection, due, self._limits.blocked_limit_s)

    def _each(self, which: ColumnElement[bool], at: float, end: Any) -> int:
        with reading(self._engine) as connection:
            if connection.execute(select(_job.c.id).where(which).limit(1)).one_or_none() is None:
                return 0
        with writing(self._engine) as connection:
            rows = self._locked(connection, select(_job).where(which).limit(MOST_AT_ONCE))
            for row in rows:
                end(connection, row, at)
        return len(rows)

    def _locked(self, connection: Connection, query: Select[Any]) -> Sequence[Any]:
        return connection.execute(query.with_for_update(skip_locked=True)).all()

    def _count_anew(self) -> None:
        """Let no lease and no wait end because the clock was set: owners renew soon, and waits count from here."""
        with writing(self._engine) as connection:
            at = now(connection)
            held = {"lease_until": at + self._limits.lease_s, "state_at": at}
            connection.execute(update(_job).where(tables.HELD).values(**held))
            connection.execute(update(_job).where(_job.c.state == "blocked").values(state_at=at))
            odd = or_(_job.c.run_at > at + LONGEST_DELAY_S, _job.c.run_at < at - self._limits.queue_limit_s)
            connection.execute(update(_job).where(tables.UNCLAIMED, odd).values(run_at=at))


def _fail(connection: Connection, row: Any, failure: dict[str, Any], at: float) -> None:
    record = {**failure, "attempt": row.attempt}
    move(connection, row, "failed", at, data={"failure": record}, values={"failure": json.dumps(record)})
