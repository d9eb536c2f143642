"""Jobs that wait for jobs: a blocked job is queued when all its inputs have succeeded, and fails when one is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, or_, select, update

from recon.errors import InputLost
from service.ledger import tables
from service.ledger.changes import move, stamp
from service.ledger.clock import now
from service.ledger.database import append_event

_job, _input = tables.job, tables.job_input
_source = _job.alias("source")
MOST_AT_ONCE = 200  # one transaction: leases must be renewed meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """One input of a job as it stands now."""

    pointer: str  # the place in the spec that names it
    job_id: str
    state: str
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a job with these inputs is: queued, blocked, or failed."""

    state: str
    progress: dict[str, Any]
    failure: dict[str, Any] = field(default_factory=dict)


def standing(connection: Connection, inputs: Mapping[str, str]) -> Standing:
    """Return how a new job starts; raises InputLost naming the input that has no result and will have none."""
    query = select(_job.c.id, _job.c.state, _job.c.failure).where(_job.c.id.in_(inputs.values()))
    rows = {row.id: row for row in connection.execute(query)}
    found = []
    for pointer, job_id in inputs.items():
        if job_id not in rows:
            raise InputLost("there is no such job", where=pointer)
        row = rows[job_id]
        found.append(_Input(pointer=pointer, job_id=job_id, state=row.state, failure=row.failure))
    lost = _lost(found)
    if lost is not None:
        raise lost
    return _standing(found)


def remember(connection: Connection, job_id: str, inputs: Mapping[str, str]) -> None:
    """Write down for which jobs a job waits."""
    rows = [{"job_id": job_id, "pointer": pointer, "input_id": input_id} for pointer, input_id in inputs.items()]
    connection.execute(_input.insert(), rows)


def due(connection: Connection, limit_s: float) -> list[str]:
    """Return the blocked jobs whose inputs moved on, oldest first and some at a time."""
    # The database leaves out the many that still wait for everything.
    query = (
        select(_input.c.job_id)
        .join(_job, _job.c.id == _input.c.job_id)
        .join(_source, _source.c.id == _input.c.input_id)
    )
    latest = now(connection) - limit_s
    may = or_(_source.c.state.in_(tables.TERMINAL), _job.c.state_at < latest)
    some = query.where(_job.c.state == "blocked", may)
    found = [job_id for job_id, rows in _blocked(connection, some) if _moved(rows, latest, limit_s) is not None]
    return found[:MOST_AT_ONCE]


def settle(connection: Connection, due: Sequence[str], limit_s: float) -> int:
    """Move jobs on that `due` named, unless another process did so; return how many."""
    lock = select(_job.c.id).where(_job.c.id.in_(due), _job.c.state == "blocked").order_by(_job.c.seq)
    locked = connection.execute(lock.with_for_update(skip_locked=True)).scalars().all()
    count, at = 0, now(connection)
    # Read under the lock: one query that locks and joins may see some inputs of a job and not the others.
    for _, rows in _blocked(connection, locked):
        moved = _moved(rows, at - limit_s, limit_s)
        if moved is not None:
            count += 1
            _apply(connection, rows[0], moved, at)
    return count


def _blocked(connection: Connection, ids: Sequence[str] | Select[str]) -> Iterator[tuple[str, list[Any]]]:
    """Yield those of `ids` that are blocked, with a row for each of their inputs."""
    own = (_job.c.id, _job.c.state, _job.c.epoch, _job.c.progress, _job.c.state_at)
    query = select(*own, _input, _source.c.state.label("input_state"), _source.c.failure)
    query = query.join(_input, _input.c.job_id == _job.c.id).join(_source, _source.c.id == _input.c.input_id)
    query = query.where(_job.c.state == "blocked", _job.c.id.in_(ids)).order_by(_job.c.seq, _input.c.pointer)
    for job_id, rows in groupby(connection.execute(query).all(), key=lambda row: row.id):
        yield job_id, list(rows)


def _moved(rows: Sequence[Any], latest: float, limit_s: float) -> Standing | None:
    """Return what a job blocked since before `latest` at the earliest is by now, or None when nothing changed."""
    found = [_Input(pointer=r.pointer, job_id=r.input_id, state=r.input_state, failure=r.failure) for r in rows]
    current = _standing(found)
    lost = _lost(found)
    if lost is not None:
        return Standing(state="failed", progress=current.progress, failure=lost.record())
    if current.state == "blocked" and rows[0].state_at < latest:
        message = f"jobs that this one waits for did not end within {limit_s:.0f} s"
        failure = {"code": "INPUT_TIMEOUT", "message": message, "where": ", ".join(current.progress["waits_for"])}
        hint = "See what holds them up, and submit this job again."
        return Standing(state="failed", progress=current.progress, failure={**failure, "hint": hint, "retryable": True})
    return None if current.state == "blocked" and current.progress == json.loads(rows[0].progress) else current


def _standing(found: Sequence[_Input]) -> Standing:
    waits_for = list(dict.fromkeys(one.job_id for one in found if one.state != "succeeded"))
    total = len({one.job_id for one in found})
    progress = {"stage": "inputs", "done": total - len(waits_for), "total": total, "unit": "jobs"}
    if not waits_for:
        return Standing(state="queued", progress=progress if found else {})
    return Standing(state="blocked", progress=progress | {"waits_for": waits_for})


def _lost(found: Sequence[_Input]) -> InputLost | None:
    for one in found:
        if one.state in ("failed", "cancelled"):
            why = json.loads(one.failure) if one.failure and one.state == "failed" else {}
            cause = f": {why['code']}: {why['message']}" if why else ""
            hint = "Submit that job again, and then this one with the new id."
            end = "failed" if one.state == "failed" else "was cancelled"
            return InputLost(f"job {one.job_id}, an input of this one, {end}{cause}", where=one.pointer, hint=hint)
    return None


def _apply(connection: Connection, row: Any, found: Standing, at: float) -> None:
    values: dict[str, Any] = {"progress": json.dumps(found.progress)}
    if found.state == "blocked":
        append_event(connection, row.id, "job.blocked", found.progress, at)
        connection.execute(update(_job).where(_job.c.id == row.id).values(**values, **stamp(at)))
        return
    data = {"failure": found.failure} if found.failure else {}
    values |= {"failure": json.dumps(found.failure)} if found.failure else {}
    # `run_at` is when it became due: the time-out of the queue counts from here.
    move(connection, row, found.state, at, data=data, values={**values, "run_at": at})
