"""Plain submissions that come at the same moment, stored in one transaction: the disk is waited for once.

While one batch is written the next one gathers, so a lone submission waits for nobody. A plain submission depends on no
other row. All others, and repeated ones, are stored one by one by `Submissions.submit`, which gives the same answers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, tuple_
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from service.ledger import tables
from service.ledger.clock import now
from service.ledger.database import writing
from service.ledger.submissions import NewJob, Submissions, Submitted
from workers.jobs.job_spec import JobSpec

MOST = 100  # submissions in a transaction: other writers wait meanwhile
_idempotency = tables.idempotency


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A submission without input jobs, dedupe and quota; the members are arguments of `Submissions.submit`."""

    spec: JobSpec
    key: str = ""
    tenant: str = ""
    priority: int = 0

    @property
    def name(self) -> tuple[str, str]:
        """Return what the submission and its repetitions have in common."""
        return self.tenant, self.key


class Batches:
    """Gathers plain submissions. For use on one event loop."""

    def __init__(self, engine: Engine, submissions: Submissions) -> None:
        self._engine, self._submissions = engine, submissions
        self._waiting: list[tuple[Plain, asyncio.Future[Submitted]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, plain: Plain) -> Submitted:
        """Store a job durably and return it; raises as `Submissions.submit` does."""
        future: asyncio.Future[Submitted] = asyncio.get_running_loop().create_future()
        self._waiting.append((plain, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                results = await self._stored([plain for plain, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    if future.done():
                        continue  # whoever waited was cancelled
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._writer = None

    async def _stored(self, batch: Sequence[Plain]) -> Sequence[Submitted | Exception]:
        try:
            return await run_in_threadpool(self.store, batch)
        except Exception as error:  # no thread could be started
            return [error] * len(batch)

    def store(self, batch: Sequence[Plain]) -> list[Submitted | Exception]:
        """Store submissions, each durably, and return what became of each."""
        found: dict[int, Submitted | Exception] = {}
        try:
            with writing(self._engine) as connection:
                fresh = _fresh(connection, batch)
                found = dict(zip(fresh, self._insert(connection, [batch[i] for i in fresh]), strict=True))
        except IntegrityError:
            found = {}  # another process stored one of the keys between the read and the write (not on SQLite)
        except Exception as error:  # none of them is stored; each of those who wait has to learn why
            return [error] * len(batch)
        return [found.get(i) or self._alone(plain) for i, plain in enumerate(batch)]

    def _alone(self, plain: Plain) -> Submitted | Exception:
        try:
            return self._submissions.submit(plain.spec, key=plain.key, tenant=plain.tenant, priority=plain.priority)
        except Exception as error:
            return error

    def _insert(self, connection: Connection, plains: Sequence[Plain]) -> list[Submitted]:
        if not plains:
            return []
        at, jobs = now(connection), [self._submissions.new_job(p.spec, p.tenant, p.priority) for p in plains]
        rows = [job.row(at) | {"last_event": 1} for job in jobs]
        connection.execute(tables.job.insert(), rows)
        first = {"seq": 1, "at": at, "type": "job.queued", "data": "{}"}
        connection.execute(tables.event.insert(), [{"job_id": row["id"], **first} for row in rows])
        keyed = [j.key_row(p.key, r["id"], at) for p, j, r in zip(plains, jobs, rows, strict=True) if p.key]
        if keyed:  # in one order everywhere: two processes wait for each other's rows otherwise
            connection.execute(_idempotency.insert(), sorted(keyed, key=lambda row: (row["tenant"], row["key"])))
        return [Submitted(_record(job, row), False) for job, row in zip(jobs, rows, strict=True)]


def _fresh(connection: Connection, batch: Sequence[Plain]) -> list[int]:
    """Return the numbers of the submissions whose key nobody has used yet, here or before."""
    times = Counter(plain.name for plain in batch)
    names = [name for name in times if name[1]]
    columns = (_idempotency.c.tenant, _idempotency.c.key)
    stored = connection.execute(select(*columns).where(tuple_(*columns).in_(names))).all() if names else []
    used = {tuple(row) for row in stored} | {name for name in names if times[name] > 1}
    return [i for i, plain in enumerate(batch) if plain.name not in used]


def _record(job: NewJob, row: dict[str, Any]) -> dict[str, Any]:
    """Return a new job as `job_record` does from its row."""
    shown = {name: row[name] for name in ("id", "kind", "state", "max_attempts", "tenant", "created_at", "updated_at")}
    shown |= {"attempt": 0, "losses": 0, "version": 1, "stage": "", "last_event": 1, "priority": job.priority}
    return shown | {"progress": {}, "failure": None, "report": None, "spec": job.record}
