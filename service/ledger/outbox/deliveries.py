"""The outbox emptied: claims under a lease, outcomes, pauses that grow, and a webhook that is given up.

pending -> delivered
   |  ^-------------- after a failure, with a growing pause; also by hand, from every end
   v
 failed               after MOST_ATTEMPTS attempts
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, exists, func, or_, select, update

from service.ledger import figures, tables
from service.ledger.clock import now
from service.ledger.database import reading, writing
from service.ledger.outbox.messages import PING, enqueue

LEASE_S = 45.0  # of one attempt, which takes 15 s and the time in which a name is resolved
MOST_ATTEMPTS = 8
FIRST_PAUSE_S, FACTOR, LONGEST_PAUSE_S = 5.0, 4.0, 6 * 3600.0
LONGEST_REST_S = 300.0  # of a webhook that fails: its other messages need not find that out each for itself
KEPT_S = 30 * 86400.0
MOST_PURGED = 500  # in one transaction
GONE = 410  # the status by which a receiver unsubscribes
SENT, FAILED = "webhook_deliveries", "webhook_failures"

_webhook, _delivery = tables.webhook, tables.delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A message to be sent now. (id, number) is the token of the claim."""

    id: str
    webhook_id: str
    url: str
    body: bytes
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended: the status of the answer, if there was one, and an error unless it was 2xx."""

    status: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a message, as its tenant sees it."""

    seq: int
    id: str
    webhook_id: str
    type: str
    job_id: str
    state: str
    attempts: int
    created_at: float
    attempted_at: float | None
    ended_at: float | None
    due_at: float
    status: int | None
    error: str


def pause_s(failures: int, first_s: float) -> float:
    """Return how long to wait after so many failures: four times as long each time, and a random part of it."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, first_s * FACTOR ** min(failures - 1, 30))


class Deliveries:
    """The messages of a ledger."""

    def __init__(self, engine: Engine, key_id: str = "", *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        """Send for the webhooks whose secrets are derived from the key `key_id`."""
        self._engine, self._key_id, self._first_pause_s = engine, key_id, first_pause_s

    def due(self) -> list[tuple[str, str]]:
        """Return the webhooks with a message that is due, each with its tenant."""
        with reading(self._engine) as connection:
            at = now(connection)
            own = and_(_delivery.c.webhook_id == _webhook.c.id, tables.PENDING, _delivery.c.due_at <= at)
            query = select(_webhook.c.id, _webhook.c.tenant).where(self._awake(at))
            query = query.where(exists(select(_delivery.c.seq).where(own))).order_by(_webhook.c.rests_until)
            return [(row.id, row.tenant) for row in connection.execute(query)]

    def claim(self, webhook_id: str) -> Attempt | None:
        """Take the oldest message that is due; no other process gets it before the lease has run out."""
        with writing(self._engine) as connection:
            at = now(connection)
            own = and_(_delivery.c.webhook_id == webhook_id, tables.PENDING, _delivery.c.due_at <= at)
            query = select(_delivery.c.seq, _delivery.c.id, _delivery.c.body, _delivery.c.attempts, _webhook.c.url)
            query = query.join(_webhook, _webhook.c.id == _delivery.c.webhook_id).where(own, self._awake(at))
            query = query.order_by(_delivery.c.seq).limit(1).with_for_update(of=_delivery, skip_locked=True)
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            values = {"attempts": row.attempts + 1, "due_at": at + LEASE_S, "attempted_at": at}
            values |= {"status": None, "error": ""}
            connection.execute(update(_delivery).where(_delivery.c.seq == row.seq).values(**values))
        body = row.body.encode()
        return Attempt(id=row.id, webhook_id=webhook_id, url=row.url, body=body, number=row.attempts + 1)

    def record(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write how an attempt ended, unless the message ended meanwhile; a late failure counts for nothing."""
        with writing(self._engine) as connection:
            at = now(connection)
            of_webhook = select(_webhook).where(_webhook.c.id == attempt.webhook_id).with_for_update()
            webhook = connection.execute(of_webhook).one_or_none()
            this = and_(_delivery.c.id == attempt.id, tables.PENDING)
            row = connection.execute(select(_delivery).where(this).with_for_update()).one_or_none()
            late = row is not None and row.attempts != attempt.number
            if webhook is None or row is None or (late and outcome.error):
                return
            figures.count(connection, FAILED if outcome.error else SENT)
            if outcome.error:
                self._failed(connection, attempt, outcome, webhook, at)
                return
            values = {"state": "delivered", "status": outcome.status, "error": "", "ended_at": at}
            connection.execute(update(_delivery).where(_delivery.c.seq == row.seq).values(**values))
            if webhook.failures:
                sound = {"failures": 0, "rests_until": 0.0}
                connection.execute(update(_webhook).where(_webhook.c.id == webhook.id).values(**sound))

    def _failed(self, connection: Connection, attempt: Attempt, outcome: Outcome, webhook: Any, at: float) -> None:
        failures, gone = webhook.failures + 1, outcome.status == GONE
        values: dict[str, Any] = {"status": outcome.status, "error": outcome.error[:200]}
        given_up = gone or attempt.number >= MOST_ATTEMPTS
        values |= (
            {"state": "failed", "ended_at": at}
            if given_up
            else {"due_at": at + pause_s(attempt.number, self._first_pause_s)}
        )
        connection.execute(update(_delivery).where(_delivery.c.id == attempt.id).values(**values))
        rest_s = min(LONGEST_REST_S, pause_s(failures, self._first_pause_s))
        state: dict[str, Any] = {"failures": failures, "rests_until": at + rest_s}
        if webhook.disabled_at is None and (gone or (given_up and failures >= MOST_ATTEMPTS)):
            because = "its receiver answered 410 (gone)" if gone else f"{failures} failures in a row: {outcome.error}"
            state |= {"disabled_at": at, "disabled_because": because[:200]}
        connection.execute(update(_webhook).where(_webhook.c.id == webhook.id).values(**state))

    def page(
        self, webhook_id: str, *, state: str = "", before: int | None = None, limit: int = 50
    ) -> tuple[list[Delivery], int | None]:
        """Return messages of a webhook, newest first, and the cursor of the next page (None = this was the last)."""
        query = select(_delivery).where(_delivery.c.webhook_id == webhook_id).order_by(_delivery.c.seq.desc())
        query = query.where(_delivery.c.state == state) if state else query
        query = query if before is None else query.where(_delivery.c.seq < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        return [_of(row) for row in rows[:limit]], (rows[limit - 1].seq if len(rows) > limit else None)

    def ping(self, webhook_id: str) -> Delivery | None:
        """Write a message that only tests the way; None when the webhook is gone."""
        with writing(self._engine) as connection:
            found = select(_webhook.c.id).where(_webhook.c.id == webhook_id)
            if connection.execute(found.with_for_update(read=True, key_share=True)).one_or_none() is None:
                return None
            at = now(connection)
            message_id = enqueue(connection, webhook_id, PING, {"type": PING, "at": at}, at)
            return _of(connection.execute(select(_delivery).where(_delivery.c.id == message_id)).one())

    def redeliver(self, webhook_id: str, message_id: str) -> Delivery | None:
        """Send a message again, under its old id; one that is being sent now is left alone. None = there is none."""
        this = and_(_delivery.c.webhook_id == webhook_id, _delivery.c.id == message_id)
        waits = and_(_delivery.c.state == "pending", or_(_delivery.c.attempts == 0, _delivery.c.error != ""))
        with writing(self._engine) as connection:
            at = now(connection)
            wake = update(_webhook).where(_webhook.c.id == webhook_id).values(rests_until=0.0)
            if connection.execute(wake).rowcount:
                anew = {"state": "pending", "attempts": 0, "due_at": at, "ended_at": None}
                connection.execute(
                    update(_delivery).where(this, or_(_delivery.c.state != "pending", waits)).values(**anew)
                )
            row = connection.execute(select(_delivery).where(this)).one_or_none()
        return None if row is None else _of(row)

    def purge(self) -> int:
        """Forget what ended long ago, and give up what no webhook took for as long; return how many.

        After MOST_PURGED there may be more.
        """
        with writing(self._engine) as connection:
            at = now(connection)
            old = select(_delivery.c.seq).where(_delivery.c.ended_at < at - KEPT_S).limit(MOST_PURGED)
            count = connection.execute(delete(_delivery).where(_delivery.c.seq.in_(old))).rowcount
            stuck = select(_delivery.c.seq).where(tables.PENDING, _delivery.c.created_at < at - KEPT_S)
            lost = {"state": "failed", "ended_at": at, "error": "too old"}
            these = _delivery.c.seq.in_(stuck.limit(MOST_PURGED))
            return int(count + connection.execute(update(_delivery).where(these).values(**lost)).rowcount)

    def figures(self) -> dict[str, float]:
        """Return what /metrics shows of webhooks: attempts, what waits, since when, and who is disabled."""
        with reading(self._engine) as connection:
            at = now(connection)
            waiting = select(func.count(), func.min(_delivery.c.created_at)).where(
                tables.PENDING, _delivery.c.webhook_id == _webhook.c.id, _webhook.c.disabled_at.is_(None)
            )
            count, oldest = connection.execute(waiting).one()
            disabled = select(func.count()).select_from(_webhook).where(_webhook.c.disabled_at.is_not(None))
            return {
                "webhook_deliveries_total": figures.counter(connection, SENT),
                "webhook_failures_total": figures.counter(connection, FAILED),
                "webhooks_disabled": float(connection.execute(disabled).scalar_one()),
                "outbox_pending": float(count),
                "outbox_age_seconds": max(0.0, at - oldest) if oldest else 0.0,
            }

    def _awake(self, at: float) -> ColumnElement[bool]:
        ours = and_(_webhook.c.key_id == self._key_id, _webhook.c.disabled_at.is_(None))
        return and_(ours, _webhook.c.rests_until <= at)


def _of(row: Any) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in Delivery.__slots__})
