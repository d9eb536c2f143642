"""What the executor writes: claims under a lease, progress and endings, each guarded by the fencing token."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, or_, select, update

from recon.errors import Cancelled, RoadscribeError, WorkerLost
from service.ledger import blocked_jobs, tables
from service.ledger.database import append_event, reading, writing
from service.ledger.submissions import StoredFile
from workers.retry import decide

_job, _attempt = tables.job, tables.attempt
LATE = {"code": "QUEUE_TIMEOUT", "where": "queue", "retryable": True}


@dataclass(frozen=True, slots=True)
class Claim:
    """A job held by this executor. (job, attempt, epoch) is the fencing token of all its writes."""

    job_id: str
    attempt: int
    epoch: int
    spec: str

    @property
    def token(self) -> str:
        """Return the token as one word."""
        return f"{self.job_id}-{self.attempt}-{self.epoch}"


class LeaseLost(Exception):
    """Another executor holds the job: stop at once and write nothing."""


class Leases:
    """The executor's side of the ledger."""

    def __init__(
        self,
        engine: Engine,
        owner: str,
        *,
        lease_s: float = 30.0,
        queue_limit_s: float = 7 * 86400.0,
        blocked_limit_s: float = 14 * 86400.0,
    ) -> None:
        self._engine, self._owner = engine, owner
        self._lease_s, self._queue_limit_s, self._blocked_limit_s = lease_s, queue_limit_s, blocked_limit_s

    def beat(self) -> None:
        """Say that this executor lives."""
        beats, now = tables.heartbeat, time.time()
        with writing(self._engine) as connection:
            change = update(beats).where(beats.c.name == self._owner).values(at=now)
            if connection.execute(change).rowcount == 0:
                connection.execute(beats.insert().values(name=self._owner, at=now))

    def claim(self) -> Claim | None:
        """Take the oldest job that is due, or return None."""
        now = time.time()
        due = select(_job).where(_job.c.state.in_(tables.CLAIMABLE), _job.c.run_at <= now)
        query = due.order_by(_job.c.run_at, _job.c.seq).limit(1)
        if self._engine.dialect.name != "sqlite":  # there every writer is alone anyway
            query = query.with_for_update(skip_locked=True)
        with writing(self._engine) as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            claim = Claim(row.id, row.attempt + 1, row.epoch + 1, row.spec)
            change = update(_job).where(_job.c.id == row.id, _job.c.epoch == row.epoch)
            lease = {"owner": self._owner, "lease_until": now + self._lease_s, "attempt": claim.attempt}
            connection.execute(change.values(state="running", epoch=claim.epoch, **lease, **_stamp(now)))
            started = {"job_id": row.id, "epoch": claim.epoch, "attempt": claim.attempt, "owner": self._owner}
            connection.execute(_attempt.insert().values(**started, started_at=now))
            append_event(connection, row.id, "job.running", {"attempt": claim.attempt})
            return claim

    def report_of(self, job_id: str) -> dict[str, Any]:
        """Return the report of a job that succeeded: what it made, and where it lies in the store."""
        with reading(self._engine) as connection:
            report = connection.execute(select(_job.c.report).where(_job.c.id == job_id)).scalar_one()
        body: dict[str, Any] = json.loads(report)
        return body

    def renew(self, claim: Claim) -> bool:
        """Prolong the lease and return whether the job shall be cancelled; raises LeaseLost."""
        with writing(self._engine) as connection:
            change = update(_job).where(self._ours(claim)).values(lease_until=time.time() + self._lease_s)
            if connection.execute(change).rowcount == 0:
                self._refused(connection)
                lost = True
            else:
                lost = False
                state = connection.execute(select(_job.c.state).where(_job.c.id == claim.job_id)).scalar_one()
        if lost:
            raise LeaseLost(claim.token)
        return bool(state == "cancelling")

    def progress(self, claim: Claim, kind: str, data: dict[str, Any], *, keep: bool = True) -> None:
        """Write where the job stands; with `keep` also as an event. Raises LeaseLost."""
        values = {"stage": data["stage"], "progress": json.dumps(data), **_stamp(time.time())}
        with writing(self._engine) as connection:
            lost = connection.execute(update(_job).where(self._ours(claim)).values(**values)).rowcount == 0
            if lost:
                self._refused(connection)
            elif keep:
                append_event(connection, claim.job_id, kind, data)
        if lost:
            raise LeaseLost(claim.token)

    def committing(self, claim: Claim) -> None:
        """Say that the work is done and its files are being published; raises LeaseLost, or Cancelled."""
        self._leave(claim, ("running",), "committing", "job.committing", {})

    def succeed(self, claim: Claim, report: dict[str, Any], files: Sequence[StoredFile]) -> None:
        """End the job well: files, report and state become visible in one transaction. Raises LeaseLost, Cancelled."""
        rows = [{name: getattr(file, name) for name in StoredFile.__slots__} for file in files]
        values = {"report": json.dumps(report), "failure": None}
        self._leave(claim, ("committing",), "succeeded", "job.succeeded", {}, values=values, artifacts=rows)

    def fail(self, claim: Claim, error: RoadscribeError) -> str:
        """End the attempt badly and return the job's new state: retry_wait, failed or cancelled. Raises LeaseLost."""
        with reading(self._engine) as connection:
            limit = connection.execute(select(_job.c.max_attempts).where(_job.c.id == claim.job_id)).scalar_one()
        record = {**error.record(), "attempt": claim.attempt}
        decision = decide(error, claim.attempt, limit)
        state = "retry_wait" if decision.again else "failed"
        values = {"failure": json.dumps(record), "run_at": time.time() + decision.delay_s}
        data = {"failure": record} | ({"delay_s": decision.delay_s} if decision.again else {})
        try:
            self._leave(claim, ("running", "committing"), state, f"job.{state}", data, values=values)
        except Cancelled:
            self.cancelled(claim)
            return "cancelled"
        return state

    def cancelled(self, claim: Claim) -> None:
        """Say that the work on a cancelled job has stopped; raises LeaseLost."""
        self._leave(claim, ("cancelling",), "cancelled", "job.cancelled", {})

    def give_back(self, claim: Claim) -> None:
        """Return a job to the queue without counting the attempt: this executor is going away. Raises LeaseLost."""
        values = {"attempt": claim.attempt - 1, "run_at": time.time()}
        try:
            self._leave(claim, ("running", "committing"), "queued", "job.given_back", {}, values=values)
        except Cancelled:
            self.cancelled(claim)

    def sweep(self) -> int:
        """Update jobs that no executor works on: lost leases, jobs that waited too long, and those whose inputs ended.

        Returns how many jobs changed.
        """
        return self._sweep_late() + self._sweep_blocked()

    def _sweep_blocked(self) -> int:
        with reading(self._engine) as connection:  # mostly nothing: do not take the write lock for that
            due = blocked_jobs.due(connection, self._blocked_limit_s)
        if not due:
            return 0
        with writing(self._engine) as connection:
            return blocked_jobs.settle(connection, due, self._blocked_limit_s)

    def _sweep_late(self) -> int:
        now = time.time()
        expired = and_(_job.c.state.in_(tables.LEASED), _job.c.lease_until < now)
        # Measured from when the job last became due: a job that was given back waits anew.
        waited = and_(_job.c.state.in_(tables.CLAIMABLE), _job.c.run_at < now - self._queue_limit_s)
        with reading(self._engine) as connection:
            if connection.execute(select(_job.c.id).where(or_(expired, waited)).limit(1)).one_or_none() is None:
                return 0
        with writing(self._engine) as connection:
            late = select(_job).where(or_(expired, waited)).with_for_update(skip_locked=True)
            rows = connection.execute(late).all()
            for row in rows:
                self._sweep_one(connection, row, now)
        return len(rows)

    def _sweep_one(self, connection: Connection, row: Any, now: float) -> None:
        values: dict[str, Any] = {}
        data: dict[str, Any] = {}
        if row.state == "cancelling":
            state = "cancelled"
        elif row.state in tables.CLAIMABLE:
            state = "failed"
            message = f"no executor took the job within {self._queue_limit_s:.0f} s"
            data = {"failure": {**LATE, "message": message, "hint": "Start one with roadscribe serve."}}
        else:
            error = WorkerLost("the executor stopped answering", where=row.stage, hint="The job is tried again.")
            decision = decide(error, row.attempt, row.max_attempts)
            state = "retry_wait" if decision.again else "failed"
            values["run_at"] = now + decision.delay_s
            data = {"failure": {**error.record(), "attempt": row.attempt}}
        if data:
            values["failure"] = json.dumps(data["failure"])
        append_event(connection, row.id, f"job.{state}", data)
        # The epoch moves on, so that the old owner is refused even before the next one claims.
        same = and_(_job.c.id == row.id, _job.c.epoch == row.epoch, _job.c.state == row.state)
        values |= {"state": state, "epoch": row.epoch + 1, "owner": "", **_stamp(now)}
        connection.execute(update(_job).where(same).values(**values))
        self._close_attempt(connection, row.id, row.epoch, state, values.get("failure"))

    def _ours(self, claim: Claim) -> Any:
        token = and_(_job.c.id == claim.job_id, _job.c.attempt == claim.attempt, _job.c.epoch == claim.epoch)
        return and_(token, _job.c.owner == self._owner, _job.c.state.in_(tables.LEASED))

    def _refused(self, connection: Connection) -> None:
        beats = tables.heartbeat
        connection.execute(update(beats).where(beats.c.name == self._owner).values(fenced=beats.c.fenced + 1))

    def _leave(
        self,
        claim: Claim,
        allowed: tuple[str, ...],
        state: str,
        kind: str,
        data: dict[str, Any],
        *,
        values: dict[str, Any] | None = None,
        artifacts: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Move a claimed job to `state`; raises LeaseLost without a valid lease, Cancelled after a cancellation."""
        with writing(self._engine) as connection:
            found = connection.execute(select(_job.c.state).where(self._ours(claim)).with_for_update()).scalar()
            if found in allowed:
                append_event(connection, claim.job_id, kind, data)
                if artifacts:
                    connection.execute(tables.artifact.insert(), list(artifacts))
                ended = {} if state in tables.LEASED else {"owner": ""}
                change = update(_job).where(self._ours(claim))
                connection.execute(change.values(state=state, **(values or {}), **ended, **_stamp(time.time())))
                if ended:
                    failure = (values or {}).get("failure")
                    self._close_attempt(connection, claim.job_id, claim.epoch, state, failure)
            elif found is None:
                self._refused(connection)
        if found is None:
            raise LeaseLost(claim.token)
        if found not in allowed:
            raise Cancelled

    def _close_attempt(self, connection: Connection, job_id: str, epoch: int, outcome: str, failure: Any) -> None:
        which = and_(_attempt.c.job_id == job_id, _attempt.c.epoch == epoch)
        values = {"ended_at": time.time(), "outcome": outcome, "failure": failure}
        connection.execute(update(_attempt).where(which).values(**values))


def _stamp(now: float) -> dict[str, Any]:
    return {"updated_at": now, "version": _job.c.version + 1}
