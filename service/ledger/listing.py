"""What lists and pages about jobs read: summaries of bounded size, attempts, and why a job waits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, func, literal, select, tuple_

from service.ledger import tables
from service.ledger.clock import now
from service.ledger.database import reading

_job, _attempt = tables.job, tables.attempt
MOST_AHEAD = 1000  # counted no further
LONGEST_MESSAGE = 300
COLUMNS = (
    *("seq", "id", "kind", "sources", "tenant", "rank", "state", "attempt", "max_attempts", "losses"),
    *("created_at", "updated_at", "version", "stage", "progress", "failure", "last_event"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which jobs a list holds; an empty field allows all."""

    tenant: str | None = None
    state: str = ""
    kind: str = ""
    created_after: float | None = None
    created_before: float | None = None
    ids: tuple[str, ...] = ()


class Listing:
    """Reads jobs without their specs and reports, which may be large."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, filters: Filters, *, before: int | None = None, limit: int = 50
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return summaries, newest first, and the cursor of the next page (None = this was the last)."""
        query = select(*(_job.c[name] for name in COLUMNS)).order_by(_job.c.seq.desc()).limit(limit + 1)
        for column, wanted in ((_job.c.state, filters.state), (_job.c.kind, filters.kind)):
            query = query.where(column == wanted) if wanted else query
        query = query if filters.tenant is None else query.where(_job.c.tenant == filters.tenant)
        if filters.created_after is not None:
            query = query.where(_job.c.created_at > filters.created_after)
        if filters.created_before is not None:
            query = query.where(_job.c.created_at < filters.created_before)
        query = query.where(_job.c.id.in_(filters.ids)) if filters.ids else query
        query = query if before is None else query.where(_job.c.seq < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        more = len(rows) > limit
        return [_summary(row) for row in rows[:limit]], (rows[limit - 1].seq if more else None)

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        """Return every start of a job: attempts, and those that were no attempt because the machine died."""
        query = select(_attempt).where(_attempt.c.job_id == job_id).order_by(_attempt.c.epoch)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        names = ("attempt", "epoch", "owner", "started_at", "ended_at", "outcome")
        return [
            {name: getattr(row, name) for name in names} | {"failure": json.loads(row.failure) if row.failure else None}
            for row in rows
        ]

    def waiting_for(self, job_id: str, stale_s: float) -> dict[str, Any] | None:
        """Return why a job does not run at this moment, or None for one that runs or has ended."""
        with reading(self._engine) as connection:
            row = connection.execute(select(_job).where(_job.c.id == job_id)).one()
            if row.state not in tables.WAITING:
                return None
            at = now(connection)
            seen = connection.execute(select(func.max(tables.heartbeat.c.at))).scalar_one_or_none()
            before = tuple_(_job.c.rank, _job.c.seq) < tuple_(literal(row.rank), literal(row.seq))
            ahead = select(_job.c.seq).where(tables.QUEUED, _job.c.tenant == row.tenant, before).limit(MOST_AHEAD)
            count = connection.execute(select(func.count()).select_from(ahead.subquery())).scalar_one()
        if row.state == "blocked":
            jobs = json.loads(row.progress).get("waits_for", [])
            return {"reason": "jobs", "detail": f"{len(jobs)} jobs must succeed first", "jobs": jobs}
        if row.state == "retry_wait" and row.run_at > at:
            code = json.loads(row.failure)["code"] if row.failure else "an unknown failure"
            return {"reason": "pause", "detail": f"the next attempt follows a pause after {code}", "until": row.run_at}
        if seen is None or at - seen > stale_s:
            last = "none was ever seen" if seen is None else f"the last one was seen {at - seen:.0f} s ago"
            return {"reason": "executor", "detail": f"no executor lives: {last}"}
        more = " or more" if count == MOST_AHEAD else ""
        return {"reason": "turn", "detail": f"{count}{more} queued jobs of the tenant go first", "ahead": count}


def _summary(row: Row[Any]) -> dict[str, Any]:
    body = {name: getattr(row, name) for name in COLUMNS if name not in ("seq", "rank", "progress", "failure")}
    progress = json.loads(row.progress)
    progress.pop("waits_for", None)
    failure = json.loads(row.failure) if row.failure else None
    if failure:
        failure = {name: str(failure.get(name, ""))[:LONGEST_MESSAGE] for name in ("code", "message", "where")}
    return body | {"priority": -row.rank, "progress": progress, "failure": failure}
