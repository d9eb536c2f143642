"""What the executor writes: claims under a lease, progress and endings, each guarded by the fencing token."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, update

from recon.errors import Cancelled, InputLost, MachineLost, OutOfMemory, RoadscribeError
from service.ledger import figures, tables
from service.ledger.changes import locked, lose, move, stamp
from service.ledger.clock import now
from service.ledger.database import append_event, lock_name, reading, writing
from service.ledger.datasets import add_snapshot
from service.ledger.queue import OLDEST_EVERY, next_job
from service.ledger.submissions import StoredFile
from service.ledger.sweeps import Limits, Sweeper
from workers.retry import decide, stepped_down
from workers.spec import stored_spec

_job, _attempt, _stage = tables.job, tables.attempt, tables.stage_lease


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

    def __init__(self, engine: Engine, owner: str, **limits: Any) -> None:
        """Write as `owner`; `limits` are the fields of `Limits`."""
        self._engine, self._owner, self._limits = engine, owner, Limits(**limits)
        self._sweeper = Sweeper(engine, self._limits)
        self._turns = itertools.count(1)

    def beat(self) -> None:
        """Say that this executor lives."""
        beats = tables.heartbeat
        with writing(self._engine) as connection:
            at = now(connection)
            change = update(beats).where(beats.c.name == self._owner).values(at=at)
            if connection.execute(change).rowcount == 0:
                connection.execute(beats.insert().values(name=self._owner, at=at))

    def claim(self) -> Claim | None:
        """Take the job that is next, or return None; see `queue.next_job`."""
        if self._engine.dialect.name == "sqlite":  # mostly nothing: do not take its one write lock for that
            with reading(self._engine) as connection:
                if connection.execute(select(_job.c.seq).where(tables.UNCLAIMED).limit(1)).one_or_none() is None:
                    return None
        with writing(self._engine) as connection:
            at = now(connection)
            row = next_job(connection, at, oldest=next(self._turns) % OLDEST_EVERY == 0)
            if row is None:
                return None
            claim = Claim(row.id, row.attempt + 1, row.epoch + 1, row.spec)
            started = {"job_id": row.id, "epoch": claim.epoch, "attempt": claim.attempt, "owner": self._owner}
            connection.execute(_attempt.insert().values(**started, started_at=at))
            lease = {"owner": self._owner, "lease_until": at + self._limits.lease_s}
            values = {"attempt": claim.attempt, "epoch": claim.epoch, **lease}
            move(connection, row, "running", at, data={"attempt": claim.attempt}, values=values)
            return claim

    def report_of(self, job_id: str) -> dict[str, Any]:
        """Return the report of a job that succeeded: what it made, and where it lies in the store.

        Raises InputLost for one that was deleted: an input of an input may be, while a job needs its result again.
        """
        with reading(self._engine) as connection:
            report = connection.execute(select(_job.c.report).where(_job.c.id == job_id)).scalar_one_or_none()
        if report is None:
            raise InputLost("a job whose result is needed was deleted", where=job_id, hint="Run it again.")
        body: dict[str, Any] = json.loads(report)
        return body

    def renew(self, claim: Claim) -> bool:
        """Prolong the lease and return whether the job shall be cancelled; raises LeaseLost."""
        with writing(self._engine) as connection:
            change = update(_job).where(self._ours(claim)).values(lease_until=now(connection) + self._limits.lease_s)
            state = connection.execute(change.returning(_job.c.state)).scalar_one_or_none()
            if state is None:
                self._refused(connection)
        if state is None:
            raise LeaseLost(claim.token)
        return bool(state == "cancelling")

    def progress(self, claim: Claim, kind: str, data: dict[str, Any], *, keep: bool = True) -> None:
        """Write where the job stands; with `keep` also as an event. Raises LeaseLost."""
        with writing(self._engine) as connection:
            at = now(connection)
            values = {"stage": data["stage"], "progress": json.dumps(data), **stamp(at)}
            if kind == "stage.finished":
                values["losses"] = 0  # it moves on
            lost = connection.execute(update(_job).where(self._ours(claim)).values(**values)).rowcount == 0
            if lost:
                self._refused(connection)
            elif keep:
                append_event(connection, claim.job_id, kind, data, at)
                if kind == "stage.finished":
                    figures.observe(connection, figures.STAGE_SECONDS, data["stage"], data.get("seconds", 0.0))
        if lost:
            raise LeaseLost(claim.token)

    def hold_stage(self, claim: Claim, stage: str) -> str:
        """Let no other job work on a stage's result while this one does; raises LeaseLost.

        Returns the id of the job that has it, or "" when this one does now. It ends with the job's own lease, so a
        frozen worker cannot keep it.
        """
        with writing(self._engine) as connection:
            lock_name(connection, stage)
            holder = connection.execute(select(_stage.c.job_id).where(_stage.c.stage == stage)).scalar_one_or_none()
            ours = connection.execute(select(_job.c.id).where(self._ours(claim))).scalar_one_or_none()
            if ours is None:
                self._refused(connection)
            elif holder is None:
                row = {"stage": stage, "job_id": claim.job_id, "epoch": claim.epoch}
                connection.execute(insert(_stage).values(**row))
        if ours is None:
            raise LeaseLost(claim.token)
        return "" if holder in (None, claim.job_id) else str(holder)

    def leave_stage(self, claim: Claim, stage: str) -> None:
        """Let others work on the stage's result again."""
        held = and_(_stage.c.stage == stage, _stage.c.job_id == claim.job_id, _stage.c.epoch == claim.epoch)
        with writing(self._engine) as connection:
            connection.execute(delete(_stage).where(held))

    def committing(self, claim: Claim) -> None:
        """Say that the work is done and its files are being published; raises LeaseLost, or Cancelled."""
        self._leave(claim, ("running",), "committing")

    def succeed(
        self, claim: Claim, report: dict[str, Any], files: Sequence[StoredFile], *, extended: str | None = None
    ) -> None:
        """End the job well: files, report and state become visible in one transaction.

        `extended` is that of the spec: where it is not None, the result is the next snapshot of its dataset, unless
        the job only makes the files of another one again. Raises LeaseLost, Cancelled, and what `add_snapshot` raises.
        """
        rows = [{name: getattr(file, name) for name in StoredFile.__slots__} for file in files]
        values = {"report": json.dumps(report), "failure": None}
        self._leave(claim, ("committing",), "succeeded", values=values, artifacts=rows, extended=extended)

    def fail(self, claim: Claim, error: RoadscribeError) -> str:
        """End the attempt badly and return the job's new state: queued, retry_wait, failed or cancelled.

        The death of a machine costs no attempt; see `changes.lose`. Raises LeaseLost.
        """
        with writing(self._engine) as connection:
            at, row = now(connection), self._held_row(connection, claim)
            if row is not None:
                return self._fail(connection, row, error, at)
        raise LeaseLost(claim.token)

    def _fail(self, connection: Connection, row: Any, error: RoadscribeError, at: float) -> str:
        if isinstance(error, MachineLost) or row.state == "cancelling":
            return lose(connection, row, error, self._limits.max_losses, at)
        record = {**error.record(), "attempt": row.attempt}
        decision = decide(error, row.attempt, row.max_attempts)
        if decision.again and isinstance(error, OutOfMemory):
            times = self._memory_failures(connection, row.id) + 1
            record["step_down"] = stepped_down(stored_spec(row.spec), times)[1]
        state = "retry_wait" if decision.again else "failed"
        data = {"failure": record} | ({"delay_s": decision.delay_s} if decision.again else {})
        values = {"failure": json.dumps(record), "run_at": at + decision.delay_s}
        move(connection, row, state, at, data=data, values=values)
        return state

    def memory_failures(self, claim: Claim) -> int:
        """Return how many attempts of a job ran out of memory."""
        with reading(self._engine) as connection:
            return self._memory_failures(connection, claim.job_id)

    def _memory_failures(self, connection: Connection, job_id: str) -> int:
        code = f'%"code": "{OutOfMemory.code}"%'
        count = select(func.count()).where(_attempt.c.job_id == job_id, _attempt.c.failure.like(code))
        return int(connection.execute(count).scalar_one())

    def cancelled(self, claim: Claim) -> None:
        """Say that the work on a cancelled job has stopped; raises LeaseLost."""
        self._leave(claim, ("cancelling",), "cancelled")

    def give_back(self, claim: Claim) -> None:
        """Return a job to the queue without counting the attempt: this executor is going away. Raises LeaseLost."""
        values = {"attempt": claim.attempt - 1}
        try:
            self._leave(claim, ("running", "committing"), "queued", kind="job.given_back", values=values)
        except Cancelled:
            self.cancelled(claim)

    def sweep(self) -> int:
        """Update jobs that no executor works on; see `Sweeper.sweep`."""
        return self._sweeper.sweep()

    def release(self, owners: Collection[str]) -> int:
        """Take the jobs of executors that have died back into the queue; see `Sweeper.release`."""
        return self._sweeper.release(owners)

    def _ours(self, claim: Claim) -> Any:
        token = and_(_job.c.id == claim.job_id, _job.c.attempt == claim.attempt, _job.c.epoch == claim.epoch)
        return and_(token, _job.c.owner == self._owner, _job.c.state.in_(tables.LEASED))

    def _refused(self, connection: Connection) -> None:
        beats = tables.heartbeat
        connection.execute(update(beats).where(beats.c.name == self._owner).values(fenced=beats.c.fenced + 1))

    def _held_row(self, connection: Connection, claim: Claim) -> Any:
        """Return the locked row of a job that this executor holds, or None, which is counted."""
        row = connection.execute(select(_job).where(self._ours(claim)).with_for_update()).one_or_none()
        if row is None:
            self._refused(connection)
        return row

    def _leave(
        self,
        claim: Claim,
        allowed: tuple[str, ...],
        state: str,
        *,
        kind: str = "",
        values: dict[str, Any] | None = None,
        artifacts: Sequence[dict[str, Any]] = (),
        extended: str | None = None,
    ) -> None:
        """Move a claimed job to `state`; raises LeaseLost without a valid lease, Cancelled after a cancellation."""
        with writing(self._engine) as connection:
            if self._is_so_already(connection, claim, state):
                return
            at, row = now(connection), self._held_row(connection, claim)
            if row is not None and row.state in allowed:
                if artifacts:
                    connection.execute(tables.artifact.insert(), list(artifacts))
                if extended is not None and not row.restores:
                    add_snapshot(connection, row, at, json.loads((values or {})["report"])["snapshot"], extended)
                run_at = {"run_at": at} if state == "queued" else {}
                move(connection, row, state, at, kind=kind, values={**run_at, **(values or {})})
        if row is None:
            raise LeaseLost(claim.token)
        if row.state not in allowed:
            raise Cancelled

    def _is_so_already(self, connection: Connection, claim: Claim, state: str) -> bool:
        """Return whether this very change was made: its answer may have been lost with the connection."""
        row = locked(connection, claim.job_id)
        epoch = claim.epoch if state in tables.LEASED else claim.epoch + 1
        return row is not None and (row.state, row.epoch) == (state, epoch) and self._last_was_ours(connection, claim)

    def _last_was_ours(self, connection: Connection, claim: Claim) -> bool:
        of_claim = and_(_attempt.c.job_id == claim.job_id, _attempt.c.epoch == claim.epoch)
        owner = connection.execute(select(_attempt.c.owner).where(of_claim)).scalar_one_or_none()
        return owner == self._owner
