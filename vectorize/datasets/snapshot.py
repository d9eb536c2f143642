"""A snapshot: which shards, by digest, a dataset held when it was published, and the split of every sample."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from recon.errors import ArtifactForeign, ArtifactInvalid, ArtifactTooNew
from vectorize.datasets.layout import SAMPLES, shard_path
from vectorize.labels.class_ids import CLASS_TYPE

FORMAT, SCHEMA = "roadscribe-snapshot", 1

COLUMNS = pa.schema(
    [
        ("key", pa.string()),
        ("shard", pa.string()),  # sha256 of the tar file
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("drive", pa.string()),
        ("frame", pa.int64()),
        ("time_ns", pa.int64()),
        ("x_m", pa.float64()),
        ("y_m", pa.float64()),
        ("place", pa.string()),
        ("split", pa.string()),
        ("coverage", pa.float64()),
        ("confidence", pa.float64()),
        *((name, pa.int64()) for name in CLASS_TYPE),
    ]
)
_FIELDS = {"dataset": str, "patch": dict, "splits": dict, "samples": dict, "totals": dict, "shards": list}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """One tar file of a snapshot."""

    sha256: str
    size_bytes: int

    @property
    def path(self) -> str:
        """Return where it lies in the snapshot."""
        return shard_path(self.sha256)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The record of a snapshot."""

    record: dict[str, Any]
    sha256: str  # of the bytes of the record

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Return the snapshot of a record; raises ArtifactForeign, ArtifactTooNew and ArtifactInvalid."""
        try:
            record = json.loads(data)
        except ValueError as error:
            raise ArtifactInvalid("the record of the snapshot is not valid JSON", where=where) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise ArtifactForeign("this is not the record of a snapshot", where=where)
        if not isinstance(record.get("schema"), int) or record["schema"] > SCHEMA:
            hint = "Upgrade Roadscribe to read it."
            raise ArtifactTooNew(f"the snapshot has schema {record.get('schema')}", where=where, hint=hint)
        wrong = [name for name, kind in _FIELDS.items() if not isinstance(record.get(name), kind)]
        if wrong:
            raise ArtifactInvalid(f"the record of the snapshot lacks {', '.join(wrong)}", where=where)
        return cls(record=record, sha256=hashlib.sha256(data).hexdigest())

    @property
    def dataset(self) -> str:
        """Return the name of the dataset."""
        return str(self.record["dataset"])

    @cached_property
    def shards(self) -> dict[str, ShardFile]:
        """Return the tar files by sha256, in the order of the record."""
        found = (ShardFile(sha256=one["sha256"], size_bytes=one["size_bytes"]) for one in self.record["shards"])
        return {one.sha256: one for one in found}

    def rows(self, data: bytes, split: str = "") -> list[dict[str, Any]]:
        """Return the samples in the bytes of samples.parquet, of one split or all; raises ArtifactInvalid."""
        if hashlib.sha256(data).hexdigest() != self.record["samples"]["sha256"]:
            raise ArtifactInvalid("the table of samples is not that of the snapshot", where=SAMPLES)
        filters = [("split", "=", split)] if split else None
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(data), schema=COLUMNS, filters=filters).to_pylist()
        return rows


def table_bytes(rows: list[dict[str, Any]]) -> bytes:
    """Return samples.parquet; equal rows give equal bytes."""
    out = io.BytesIO()
    table = pa.Table.from_pylist(rows, schema=COLUMNS)
    pq.write_table(table, out, compression="zstd", store_schema=False)
    return out.getvalue()
