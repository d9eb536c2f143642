"""API keys: who may do what for which tenant. The ledger holds a digest of a key, never the key."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select, update

from recon.errors import ConfigInvalid
from service.ledger import tables
from service.ledger.clock import now
from service.ledger.database import reading, writing

READ, SUBMIT, OPERATE = "read", "submit", "operate"
SCOPES = (READ, SUBMIT, OPERATE)  # see jobs and files; submit, cancel, retry; metrics
FORM = re.compile(r"rsk_([0-9a-f]{16})_([0-9A-Za-z_-]{43})")
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_key = tables.api_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as the service checks it. Limits of 0 do not limit."""

    id: str
    tenant: str
    name: str
    scopes: frozenset[str]
    requests_per_s: float = 0.0
    most_open_jobs: int = 0
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None


class ApiKeys:
    """The keys of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        tenant: str,
        *,
        name: str = "",
        scopes: Collection[str] = (READ, SUBMIT),
        days: float | None = None,
        requests_per_s: float = 0.0,
        most_open_jobs: int = 0,
    ) -> str:
        """Store a new key and return it: it cannot be read again. Raises ConfigInvalid."""
        if not TENANT.fullmatch(tenant):
            hint = "Use lower-case letters, digits and hyphens, at most 64."
            raise ConfigInvalid("the tenant's name is not allowed", where=tenant, hint=hint)
        if not scopes or set(scopes) - set(SCOPES):
            raise ConfigInvalid(f"scopes are some of {', '.join(SCOPES)}", where=", ".join(scopes))
        key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        values = {"tenant": tenant, "name": name[:64], "scopes": " ".join(sorted(set(scopes)))}
        limits = {"requests_per_s": requests_per_s, "most_open_jobs": most_open_jobs}
        with writing(self._engine) as connection:
            at = now(connection)
            times = {"created_at": at, "expires_at": None if days is None else at + days * 86400.0}
            row = {"id": key_id, "secret_sha256": _digest(secret), **values, **limits, **times}
            connection.execute(_key.insert().values(**row))
        return f"rsk_{key_id}_{secret}"

    def find(self, given: str) -> ApiKey | None:
        """Return the key that a client sent, or None when it is unknown, wrong, expired or revoked."""
        match = FORM.fullmatch(given)
        if match is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(select(_key).where(_key.c.id == match[1])).one_or_none()
            at = now(connection)
        # Random secrets of 256 bits need no slow hash.
        if row is None or not hmac.compare_digest(row.secret_sha256, _digest(match[2])):
            return None
        dead = row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at)
        return None if dead else _of(row)

    def all(self) -> list[ApiKey]:
        """Return every key, oldest first."""
        with reading(self._engine) as connection:
            return [_of(row) for row in connection.execute(select(_key).order_by(_key.c.created_at, _key.c.id))]

    def revoke(self, key_id: str) -> bool:
        """Let a key open nothing any more; return whether there was one."""
        with writing(self._engine) as connection:
            change = update(_key).where(_key.c.id == key_id, _key.c.revoked_at.is_(None))
            return connection.execute(change.values(revoked_at=now(connection))).rowcount > 0


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _of(row: Any) -> ApiKey:
    values = {name: getattr(row, name) for name in ApiKey.__slots__}
    return ApiKey(**values | {"scopes": frozenset(row.scopes.split())})
