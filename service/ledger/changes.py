"""The one way in which a job gets another state: event, row, attempt and outbox, in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, delete, select, update

from recon.errors import RoadscribeError
from service.ledger import figures, tables
from service.ledger.database import insert_event
from service.ledger.outbox.messages import announce
from workers.retry import after_loss

_job, _attempt = tables.job, tables.attempt
NOTHING: Mapping[str, Any] = MappingProxyType({})


def stamp(now: float) -> dict[str, Any]:
    """Return the columns that every change of a job writes."""
    return {"updated_at": now, "version": _job.c.version + 1}


def move(
    connection: Connection,
    row: Any,
    state: str,
    now: float,
    *,
    kind: str = "",
    data: Mapping[str, Any] = NOTHING,
    values: Mapping[str, Any] = NOTHING,
) -> None:
    """Give the job of `row` (id, state, epoch; locked by the caller) another state; `kind` names the event.

    A job that leaves its executor loses owner and stages, and gets a new epoch: whoever had it is refused from here
    on, even before the next one claims it.
    """
    counted = {"last_event": _job.c.last_event + 1}
    written: dict[str, Any] = {"state": state, "state_at": now, **stamp(now), **counted, **values}
    if row.state in tables.LEASED and state not in tables.LEASED:
        written |= {"owner": "", "epoch": row.epoch + 1}
        ended = {"ended_at": now, "outcome": state, "failure": values.get("failure")}
        which = and_(_attempt.c.job_id == row.id, _attempt.c.epoch == row.epoch)
        connection.execute(update(_attempt).where(which).values(**ended))
        connection.execute(delete(tables.stage_lease).where(tables.stage_lease.c.job_id == row.id))
    same = and_(_job.c.id == row.id, _job.c.epoch == row.epoch, _job.c.state == row.state)
    number: int = connection.execute(
        update(_job).where(same).values(**written).returning(_job.c.last_event)
    ).scalar_one()
    insert_event(connection, row.id, number, kind or f"job.{state}", data, now)
    if state in tables.TERMINAL:
        announce(connection, row.id, f"job.{state}", now)


def lose(connection: Connection, row: Any, error: RoadscribeError, max_losses: int, now: float) -> str:
    """Return a job whose machine died to the queue, and its attempt to the job; return the new state.

    Deaths have a ceiling of their own, counted from the last stage that was finished: a job that kills every machine
    ends, and one that moves on does not, however often its machines die.
    """
    if row.state == "cancelling":
        move(connection, row, "cancelled", now)
        return "cancelled"
    figures.count(connection, figures.LEASES_LOST)
    losses, record = row.losses + 1, {**error.record(), "attempt": row.attempt}
    decision = after_loss(losses, max_losses)
    state = ("retry_wait" if decision.delay_s else "queued") if decision.again else "failed"
    values = {"losses": losses, "failure": json.dumps(record), "run_at": now + decision.delay_s}
    data = {"failure": record, "losses": losses, "delay_s": decision.delay_s}
    # A failed job keeps the number of the attempt that it died in.
    values |= {"attempt": row.attempt - 1} if decision.again else {}
    move(connection, row, state, now, data=data, values=values)
    return state


def locked(connection: Connection, job_id: str) -> Any:
    """Return the row of a job, or None; nobody else changes it before the transaction ends."""
    return connection.execute(select(_job).where(_job.c.id == job_id).with_for_update()).one_or_none()
