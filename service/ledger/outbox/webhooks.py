"""The webhooks of tenants: registered, listed, switched on again, deleted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, select, update

from service.ledger import tables
from service.ledger.clock import now
from service.ledger.database import lock_name, reading, writing
from service.ledger.outbox.messages import EVENTS

MOST_OF_A_TENANT = 20
MOST_LISTED = 1000
_webhook, _delivery = tables.webhook, tables.delivery


class WebhookExists(Exception):
    """The tenant has a webhook with this address."""


class TooManyWebhooks(Exception):
    """The tenant has as many webhooks as it may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that events are sent to. After too many failures it is disabled."""

    id: str
    tenant: str
    url: str
    events: tuple[str, ...]
    created_at: float
    failures: int
    disabled_at: float | None
    disabled_because: str


class Webhooks:
    """The webhooks of a ledger. A `tenant` of None stands for all tenants."""

    def __init__(self, engine: Engine, key_id: str) -> None:
        """`key_id` names the key that the secrets of new webhooks are derived from."""
        self._engine, self._key_id = engine, key_id

    def check(self, tenant: str, url: str) -> None:
        """Raise what `create` would raise now."""
        with reading(self._engine) as connection:
            _refuse(connection, tenant, url)

    def create(self, tenant: str, url: str, events: Sequence[str] = EVENTS) -> Webhook:
        """Register an address; raises WebhookExists or TooManyWebhooks."""
        with writing(self._engine) as connection:
            lock_name(connection, f"webhooks {tenant}")
            _refuse(connection, tenant, url)
            row: dict[str, Any] = {"id": secrets.token_hex(16), "tenant": tenant, "url": url, "key_id": self._key_id}
            row |= {"events": " ".join(dict.fromkeys(events)), "created_at": now(connection)}
            connection.execute(_webhook.insert().values(**row))
            return _of(connection.execute(select(_webhook).where(_webhook.c.id == row["id"])).one())

    def all(self, tenant: str | None) -> list[Webhook]:
        """Return the webhooks of a tenant, oldest first."""
        query = self._of_tenant(tenant).order_by(_webhook.c.created_at, _webhook.c.id).limit(MOST_LISTED)
        with reading(self._engine) as connection:
            return [_of(row) for row in connection.execute(query)]

    def get(self, webhook_id: str, tenant: str | None) -> Webhook | None:
        """Return a webhook, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(self._of_tenant(tenant).where(_webhook.c.id == webhook_id)).one_or_none()
        return None if row is None else _of(row)

    def enable(self, webhook_id: str) -> None:
        """Send to a webhook again, first what waited meanwhile."""
        values = {"disabled_at": None, "disabled_because": "", "failures": 0, "rests_until": 0.0}
        with writing(self._engine) as connection:
            connection.execute(update(_webhook).where(_webhook.c.id == webhook_id).values(**values))

    def delete(self, webhook_id: str) -> None:
        """Forget a webhook and what was sent to it."""
        with writing(self._engine) as connection:
            # The webhook before its deliveries, as everywhere: two orders could wait for each other.
            connection.execute(select(_webhook.c.id).where(_webhook.c.id == webhook_id).with_for_update())
            connection.execute(delete(_delivery).where(_delivery.c.webhook_id == webhook_id))
            connection.execute(delete(_webhook).where(_webhook.c.id == webhook_id))

    def with_another_key(self) -> int:
        """Return how many webhooks this service cannot sign for."""
        query = select(func.count()).select_from(_webhook).where(_webhook.c.key_id != self._key_id)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def _of_tenant(self, tenant: str | None) -> Select[Any]:
        query = select(_webhook)
        return query if tenant is None else query.where(_webhook.c.tenant == tenant)


def _refuse(connection: Connection, tenant: str, url: str) -> None:
    urls = connection.execute(select(_webhook.c.url).where(_webhook.c.tenant == tenant)).scalars().all()
    if url in urls:
        raise WebhookExists
    if len(urls) >= MOST_OF_A_TENANT:
        raise TooManyWebhooks


def _of(row: Any) -> Webhook:
    values = {name: getattr(row, name) for name in Webhook.__slots__}
    return Webhook(**values | {"events": tuple(row.events.split())})
