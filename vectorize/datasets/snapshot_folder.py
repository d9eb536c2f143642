"""A snapshot in a folder of this machine, as the shards of one split; and how one from elsewhere comes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.artifact import Manifest, digest_file, write_atomic
from recon.errors import ArtifactInvalid, InputLost
from recon.progress import Tick, silent
from vectorize.datasets.layout import RECORD, SAMPLES
from vectorize.datasets.shard_cache import ShardCache, snapshots_folder
from vectorize.datasets.snapshot import Snapshot
from vectorize.datasets.source import open_source
from vectorize.labels.shard import ShardSet


def is_snapshot(folder: Path) -> bool:
    """Return whether a folder holds a snapshot."""
    return (folder / RECORD).is_file()


def split_shards(folder: Path, split: str, *, verify: bool = True) -> list[ShardSet]:
    """Return the shards of a split, drive by drive; with `verify` each is compared with its sha256.

    Raises ArtifactInvalid for a damaged one, and InputLost for one that is not there.
    """
    snapshot = Snapshot.parse((folder / RECORD).read_bytes(), str(folder))
    of_drive: dict[str, list[dict[str, Any]]] = {}
    for row in snapshot.rows((folder / SAMPLES).read_bytes(), split):
        of_drive.setdefault(row["drive"], []).append(row | {"shard": snapshot.shards[row["shard"]].path})
    by_path = {one.path: one for one in snapshot.shards.values()}
    meta = {**snapshot.record["patch"], "with_images": snapshot.record["images"]}
    found = []
    for drive, rows in sorted(of_drive.items()):
        files = {path: by_path[path].sha256 for path in sorted({row["shard"] for row in rows})}
        for path, sha256 in files.items() if verify else ():
            if not (folder / path).is_file():
                raise InputLost("the snapshot lacks a shard", where=str(folder / path), hint="Copy it again.")
            if digest_file(folder / path) != sha256:
                raise ArtifactInvalid("the shard is damaged", where=str(folder / path), hint="Copy the snapshot again.")
        manifest = Manifest(kind=ShardSet.kind, schema=ShardSet.schema, meta={**meta, "drive": drive}, files=files)
        found.append(ShardSet(folder=folder, manifest=manifest, rows=tuple(rows)))
    return found


def local_copy(address: str, tick: Tick = silent, *, api_key: str = "") -> Path:
    """Return a snapshot as a folder of this machine: itself, or a copy in the cache that is completed and verified.

    Raises what `open_source` and `ShardCache.open` raise.
    """
    source, snapshot = open_source(address, api_key)
    if (itself := source.local(RECORD)) is not None:
        return itself.parent
    folder = snapshots_folder() / snapshot.sha256
    # All of it is needed for as long as the training runs: nothing makes room for the rest.
    cache = ShardCache(source, folder / "shards", limit_bytes=1 << 62)
    for done, shard in enumerate(snapshot.shards.values()):
        cache.open(shard).close()
        tick(done + 1, len(snapshot.shards), "shards")
    for name in (SAMPLES, RECORD):  # the record last: with it the folder is a snapshot
        write_atomic(folder / name, source.read(name))
    if digest_file(folder / RECORD) != snapshot.sha256:
        raise ArtifactInvalid("the record of the snapshot changed meanwhile", where=source.address)
    return folder
