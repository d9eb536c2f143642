"""Datasets in the ledger: a snapshot appears in the transaction in which its job succeeds, and never changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, func, select

from recon.errors import InputInvalid
from service.ledger import tables
from service.ledger.database import lock_name, reading

_snapshot = tables.snapshot


class SnapshotSuperseded(InputInvalid):
    """Another snapshot of the dataset was published meanwhile."""

    code = "SNAPSHOT_SUPERSEDED"


class SplitsFixed(InputInvalid):
    """The splits of a dataset are those of its first snapshot."""

    code = "SPLITS_FIXED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSnapshot:
    """A snapshot: its files are the artifacts of its job."""

    dataset: str
    number: int
    job_id: str
    sha256: str
    created_at: float
    summary: dict[str, Any]


def add_snapshot(connection: Connection, job: Any, at: float, summary: Mapping[str, Any], extends: str) -> None:
    """Give the snapshot of a job its number, in the transaction in which the job succeeds.

    `summary` is that of `vectorize.datasets.build.build`. Raises SnapshotSuperseded when the snapshot that it extends
    is not the newest one, since samples would silently be lost, and SplitsFixed for other splits than before.
    """
    name = str(summary["dataset"])
    lock_name(connection, f"dataset {job.tenant} {name}")  # of two at once, the second sees the first
    of_dataset = and_(_snapshot.c.tenant == job.tenant, _snapshot.c.dataset == name)
    query = select(_snapshot).where(of_dataset).order_by(_snapshot.c.number.desc()).limit(1)
    newest = connection.execute(query).one_or_none()
    if extends and (newest is None or newest.job_id != extends):
        hint = "Publish again: it then extends the newest one."
        raise SnapshotSuperseded(where=name, hint=hint)
    if newest is not None and json.loads(newest.summary)["splits"] != summary["splits"]:
        raise SplitsFixed(where=name, hint="Publish with these splits, or under another name.")
    row = {"tenant": job.tenant, "dataset": name, "number": newest.number + 1 if newest else 1, "job_id": job.id}
    row |= {"sha256": summary["sha256"], "created_at": at, "summary": json.dumps(summary)}
    connection.execute(_snapshot.insert().values(**row))


class Datasets:
    """What the API reads of datasets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, *, tenant: str = "") -> list[StoredSnapshot]:
        """Return the newest snapshot of every dataset, by name."""
        last = select(_snapshot.c.dataset, func.max(_snapshot.c.number).label("number"))
        found = last.where(_snapshot.c.tenant == tenant).group_by(_snapshot.c.dataset).subquery()
        same = and_(_snapshot.c.dataset == found.c.dataset, _snapshot.c.number == found.c.number)
        query = select(_snapshot).join(found, same).where(_snapshot.c.tenant == tenant)
        with reading(self._engine) as connection:
            return [_stored(row) for row in connection.execute(query.order_by(_snapshot.c.dataset)).all()]

    def snapshots(self, dataset: str, *, tenant: str = "") -> list[StoredSnapshot]:
        """Return the snapshots of a dataset, newest first; none means that there is no such dataset."""
        query = select(_snapshot).where(_snapshot.c.tenant == tenant, _snapshot.c.dataset == dataset)
        with reading(self._engine) as connection:
            return [_stored(row) for row in connection.execute(query.order_by(_snapshot.c.number.desc())).all()]

    def snapshot(self, dataset: str, number: int, *, tenant: str = "") -> StoredSnapshot | None:
        """Return one snapshot, or None."""
        query = select(_snapshot).where(_snapshot.c.tenant == tenant, _snapshot.c.dataset == dataset)
        with reading(self._engine) as connection:
            row = connection.execute(query.where(_snapshot.c.number == number)).one_or_none()
        return None if row is None else _stored(row)


def _stored(row: Row[Any]) -> StoredSnapshot:
    body = row._asdict()
    del body["tenant"]
    return StoredSnapshot(**{**body, "summary": json.loads(body["summary"])})
