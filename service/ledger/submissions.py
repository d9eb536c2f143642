"""What the API writes and reads: submissions, cancellations, lists, events, artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, Engine, and_, func, select, update
from sqlalchemy.exc import IntegrityError

from recon.artifact import canonical_json
from recon.errors import ConfigInvalid
from service.ledger import blocked_jobs, tables
from service.ledger.changes import locked, move, stamp
from service.ledger.clock import now
from service.ledger.database import append_event, count_by_state, job_record, lock_name, reading, writing
from service.ledger.figures import LEASES_LOST, STAGE_SECONDS, counter, histogram
from workers.jobs.job_spec import JobSpec
from workers.spec import spec_record, stored_spec

LONGEST_SOURCES = 200
_job, _event, _artifact, _idempotency = tables.job, tables.event, tables.artifact, tables.idempotency


class KeyReused(Exception):
    """The idempotency key was used for another body."""


class QuotaExceeded(Exception):
    """The tenant has as many jobs that have not ended as it may have."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a submission, and whether it was there before."""

    job: dict[str, Any]
    existed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """Where a published file lies, relative to the service's home."""

    job_id: str
    path: str
    sha256: str
    size_bytes: int
    stored: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that is to be stored, in the form in which the ledger holds it."""

    spec: JobSpec
    record: dict[str, Any]  # the spec as JSON
    text: str  # the same, canonical
    natural_key: str
    sources: str
    tenant: str
    priority: int
    max_attempts: int

    @classmethod
    def of(cls, spec: JobSpec, **given: Any) -> Self:
        """Return the job of a spec."""
        record = spec_record(spec)
        data = canonical_json(record)
        sources, digest = spec.sources(record)[:LONGEST_SOURCES], hashlib.sha256(data).hexdigest()
        return cls(spec=spec, record=record, text=data.decode(), natural_key=digest, sources=sources, **given)

    def row(self, at: float) -> dict[str, Any]:
        """Return a new row of the table of jobs; without inputs the job is due at once."""
        row = {name: getattr(self, name) for name in ("natural_key", "sources", "tenant", "max_attempts")}
        row |= {"id": new_id(), "kind": self.spec.kind, "spec": self.text, "rank": -self.priority}
        times = dict.fromkeys(("run_at", "state_at", "created_at", "updated_at"), at)
        return row | times | {"state": "queued", "progress": "{}"}

    def key_row(self, key: str, job_id: str, at: float) -> dict[str, Any]:
        """Return the row by which a repeated submission finds the job."""
        digest = {"body_sha256": self.natural_key, "job_id": job_id, "created_at": at}
        return {"tenant": self.tenant, "key": key, **digest}


def new_id() -> str:
    """Return a UUIDv7: sorts by time of creation, to the millisecond."""
    value = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    value[6] = value[6] & 0x0F | 0x70
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _same_today(job: dict[str, Any], spec: JobSpec) -> bool:
    """Return whether a stored job equals `spec`, even if an earlier version wrote it with fewer defaults."""
    try:
        return stored_spec(json.dumps(job["spec"])) == spec
    except ConfigInvalid:
        return False


class Submissions:
    """The API's side of the ledger."""

    def __init__(self, engine: Engine, *, max_attempts: int = 3) -> None:
        self._engine = engine
        self._max_attempts = max_attempts

    def submit(
        self,
        spec: JobSpec,
        *,
        key: str = "",
        dedupe: bool = False,
        tenant: str = "",
        priority: int = 0,
        most_open: int = 0,
        retry_of: str = "",
        restores: str = "",
    ) -> Submitted:
        """Store a job durably and return it.

        The same `key` with the same spec returns the job of the first time, with another spec it raises KeyReused.
        With `dedupe` a job of the same spec that has not failed is returned instead of a new one; for the retry of a
        job, `retry_of`, only a newer one than that, since inputs may have changed after older ones. A job with inputs
        that have not succeeded yet is blocked; one with an input that cannot any more raises InputLost. Tenants share
        the executors fairly, and among the jobs of one a greater `priority` goes first. Keys and equal jobs are looked
        up within the tenant. A tenant with `most_open` jobs that have not ended gets no other: raises QuotaExceeded.
        `restores` is the id of a job whose damaged files the new one makes again: it adds no snapshot to a dataset, nor
        does a retry of it.
        """
        new = self.new_job(spec, tenant, priority)
        natural = new.natural_key
        try:
            with writing(self._engine) as connection:
                if key:
                    same = and_(_idempotency.c.tenant == tenant, _idempotency.c.key == key)
                    found = connection.execute(select(_idempotency).where(same)).one_or_none()
                    if found is not None:
                        first = self._read(connection, found.job_id)
                        if found.body_sha256 != natural and not _same_today(first, spec):
                            raise KeyReused(key)
                        return Submitted(first, True)
                if dedupe:
                    lock_name(connection, f"{tenant} {natural}")  # of two equal submissions the second finds the first
                restored = restores or self._restored_by(connection, retry_of)
                job_id = self._same(connection, tenant, natural, retry_of, restored) if dedupe else None
                existed = job_id is not None
                if job_id is None:
                    self._check_quota(connection, tenant, most_open)
                    job_id = self._insert(connection, new, restored)
                if key:
                    connection.execute(_idempotency.insert().values(**new.key_row(key, job_id, now(connection))))
                return Submitted(self._read(connection, job_id), existed)
        except IntegrityError:
            # Another process stored the same key between the read and the write (not on SQLite).
            options: dict[str, Any] = {"key": key, "dedupe": dedupe, "tenant": tenant, "priority": priority}
            return self.submit(spec, **options, most_open=most_open, retry_of=retry_of, restores=restores)

    def new_job(self, spec: JobSpec, tenant: str, priority: int) -> NewJob:
        """Return the job of a spec as it is stored."""
        return NewJob.of(spec, tenant=tenant, priority=priority, max_attempts=self._max_attempts)

    def _check_quota(self, connection: Connection, tenant: str, most_open: int) -> None:
        if not most_open:
            return
        lock_name(connection, f"quota {tenant}")
        still = select(_job.c.seq).where(_job.c.tenant == tenant, _job.c.state.in_(tables.OPEN)).limit(most_open)
        if connection.execute(select(func.count()).select_from(still.subquery())).scalar_one() >= most_open:
            raise QuotaExceeded(tenant)

    def _restored_by(self, connection: Connection, job_id: str) -> str:
        """Return the id of the job whose files a job makes again, "" for a job of its own."""
        query = select(_job.c.restores).where(_job.c.id == job_id)
        return str(connection.execute(query).scalar_one_or_none() or "") if job_id else ""

    def _insert(self, connection: Connection, new: NewJob, restores: str) -> str:
        waits_for, at = new.spec.input_jobs(), now(connection)
        start = blocked_jobs.standing(connection, waits_for)
        row = new.row(at) | {"state": start.state, "progress": json.dumps(start.progress), "restores": restores}
        connection.execute(_job.insert().values(**row))
        job_id: str = row["id"]
        if waits_for:
            blocked_jobs.remember(connection, job_id, waits_for)
        append_event(connection, job_id, f"job.{start.state}", start.progress if start.state == "blocked" else {}, at)
        return job_id

    def _same(self, connection: Connection, tenant: str, natural: str, retry_of: str, restores: str) -> str | None:
        good = (*tables.WAITING, "running", "committing", "succeeded")
        # A job that made files again published nothing: it is no answer to whoever wants the job itself.
        same = and_(_job.c.tenant == tenant, _job.c.natural_key == natural, _job.c.restores == restores)
        query = select(_job.c.id).where(same, _job.c.state.in_(good))
        if retry_of:
            query = query.where(_job.c.seq > select(_job.c.seq).where(_job.c.id == retry_of).scalar_subquery())
        found: str | None = connection.execute(query.order_by(_job.c.seq.desc()).limit(1)).scalar_one_or_none()
        return found

    def _read(self, connection: Connection, job_id: str) -> dict[str, Any]:
        return job_record(connection.execute(select(_job).where(_job.c.id == job_id)).one())

    def get(self, job_id: str) -> dict[str, Any] | None:
        """Return a job, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(_job).where(_job.c.id == job_id)).one_or_none()
            return None if row is None else job_record(row)

    def cancel(self, job_id: str) -> dict[str, Any] | None:
        """Request the cancellation of a job. A waiting job ends at once, and a job that has ended stays as it is."""
        with writing(self._engine) as connection:
            row = locked(connection, job_id)
            if row is None:
                return None
            if row.state in tables.TERMINAL or row.state == "cancelling":
                return job_record(row)
            state = "cancelled" if row.state in tables.WAITING else "cancelling"
            move(connection, row, state, now(connection))
            return self._read(connection, job_id)

    def prioritize(self, job_id: str, priority: int) -> dict[str, Any] | None:
        """Change the priority of a job that waits, and return it; one that an executor took stays as it is."""
        with writing(self._engine) as connection:
            row = locked(connection, job_id)
            if row is None:
                return None
            if row.state in tables.WAITING and row.rank != -priority:
                at = now(connection)
                append_event(connection, job_id, "job.priority", {"priority": priority, "before": -row.rank}, at)
                change = update(_job).where(_job.c.id == job_id).values(rank=-priority, **stamp(at))
                connection.execute(change)
            return self._read(connection, job_id)

    def note(self, job_id: str, kind: str, data: dict[str, Any]) -> None:
        """Append an event to a job that has not ended; the events of one that has stay as they are."""
        with writing(self._engine) as connection:
            row = locked(connection, job_id)
            if row is not None and row.state not in tables.TERMINAL:
                append_event(connection, job_id, kind, data, now(connection))

    def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> list[dict[str, Any]]:
        """Return the events of a job that follow number `after`, in order."""
        query = select(_event).where(_event.c.job_id == job_id, _event.c.seq > after)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(_event.c.seq).limit(limit)).all()
        return [{"seq": r.seq, "at": r.at, "type": r.type, "data": json.loads(r.data)} for r in rows]

    def artifacts(self, job_id: str) -> list[StoredFile]:
        """Return the published files of a job in order of path."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(_artifact).where(_artifact.c.job_id == job_id).order_by(_artifact.c.path)
            ).all()
        return [StoredFile(**row._asdict()) for row in rows]

    def artifact(
        self, *, sha256: str = "", job_id: str = "", path: str = "", tenant: str | None = None
    ) -> StoredFile | None:
        """Return a published file by content, or by job and path; with `tenant` only one of a job of that tenant."""
        query = select(_artifact).limit(1)
        if sha256:
            query = query.where(_artifact.c.sha256 == sha256)
        else:
            query = query.where(_artifact.c.job_id == job_id, _artifact.c.path == path)
        if tenant is not None:
            query = query.join(_job, _job.c.id == _artifact.c.job_id).where(_job.c.tenant == tenant)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else StoredFile(**row._asdict())

    def executor_age_s(self) -> float | None:
        """Return how long ago an executor last said that it lives, or None if none ever did."""
        with reading(self._engine) as connection:
            at = connection.execute(select(func.max(tables.heartbeat.c.at))).scalar_one_or_none()
            return None if at is None else max(0.0, now(connection) - at)

    def figures(self) -> dict[str, float]:
        """Return what /metrics shows: jobs by state, age of the oldest queued job, broken invariants."""
        with reading(self._engine) as connection:
            at = now(connection)
            figures: dict[str, float] = {f"jobs_{k}": v for k, v in count_by_state(connection).items()}
            due = select(func.min(_job.c.run_at)).where(tables.UNCLAIMED, _job.c.state == "queued")
            oldest = connection.execute(due).scalar()
            lost = select(func.count()).where(_job.c.state.in_(tables.LEASED), _job.c.lease_until < at)
            figures["leases_expired"] = connection.execute(lost).scalar_one()
            fenced = connection.execute(select(func.sum(tables.heartbeat.c.fenced))).scalar()
            figures["leases_lost_total"] = counter(connection, LEASES_LOST)
        figures["oldest_queued_seconds"] = max(0.0, at - oldest) if oldest else 0.0
        figures["fenced_writes_total"] = float(fenced or 0)
        return figures

    def stage_seconds(self) -> dict[str, tuple[list[tuple[str, float]], float]]:
        """Return the histogram of how long stages took, by their name."""
        with reading(self._engine) as connection:
            return histogram(connection, STAGE_SECONDS)
