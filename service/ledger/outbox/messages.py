"""What shall be sent to webhooks, written in the transaction in which it happens: a crash afterwards loses nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from service.ledger import tables

_job, _webhook, _delivery = tables.job, tables.webhook, tables.delivery
EVENTS = tuple(f"job.{state}" for state in tables.TERMINAL)
PING = "webhook.ping"
LONGEST_MESSAGE = 300


def announce(connection: Connection, job_id: str, kind: str, at: float) -> None:
    """Write an event of a job for every webhook of its tenant that wants it."""
    tenant = select(_job.c.tenant).where(_job.c.id == job_id).scalar_subquery()
    query = select(_webhook.c.id, _webhook.c.events).where(_webhook.c.tenant == tenant)
    # A webhook that is deleted meanwhile must not fail the job.
    found = connection.execute(query.with_for_update(read=True, key_share=True)).all()
    wanted = [row.id for row in found if kind in row.events.split()]
    if wanted:
        body = {"type": kind, "at": at, "job": _summary(connection, job_id)}
        for webhook_id in wanted:
            enqueue(connection, webhook_id, kind, body, at, job_id=job_id)


def enqueue(
    connection: Connection, webhook_id: str, kind: str, body: Mapping[str, Any], at: float, *, job_id: str = ""
) -> str:
    """Write one message for one webhook and return its id."""
    message_id = f"msg_{secrets.token_hex(16)}"
    row = {"id": message_id, "webhook_id": webhook_id, "type": kind, "job_id": job_id, "body": json.dumps(body)}
    connection.execute(insert(_delivery).values(**row, created_at=at, due_at=at))
    return message_id


def _summary(connection: Connection, job_id: str) -> dict[str, Any]:
    names = ("id", "kind", "state", "tenant", "sources", "attempt", "created_at", "updated_at", "failure")
    row = connection.execute(select(*(_job.c[name] for name in names)).where(_job.c.id == job_id)).one()
    failure = json.loads(row.failure) if row.failure else None
    if failure:
        failure = {name: str(failure.get(name, ""))[:LONGEST_MESSAGE] for name in ("code", "message", "where")}
    return row._asdict() | {"failure": failure, "url": f"/v1/jobs/{job_id}"}
