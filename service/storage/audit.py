"""The audit: a line for what is gone, written in the transaction that removes it. Nothing ever deletes a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from service.ledger import tables
from service.ledger.database import reading

JOB_DELETED = "job.deleted"
_audit = tables.audit


def note(
    connection: Connection, at: float, *, tenant: str, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> None:
    """Write a line: who did what to which thing, in the caller's transaction."""
    row = {"at": at, "tenant": tenant, "actor": actor, "action": action, "subject": subject}
    connection.execute(insert(_audit).values(**row, detail=json.dumps(detail)))


class Audit:
    """Reads the lines of a ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, tenant: str | None, *, before: int | None = None, limit: int = 50
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return lines of a tenant (None = of all), newest first, and the cursor of the next page or None."""
        query = select(_audit).order_by(_audit.c.seq.desc()).limit(limit + 1)
        query = query if tenant is None else query.where(_audit.c.tenant == tenant)
        query = query if before is None else query.where(_audit.c.seq < before)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        lines = [row._asdict() | {"detail": json.loads(row.detail)} for row in rows[:limit]]
        return lines, (rows[limit - 1].seq if len(rows) > limit else None)
