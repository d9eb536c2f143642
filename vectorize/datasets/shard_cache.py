"""Shards on this machine: fetched once for all processes, verified when they are opened, bounded in bytes."""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import time
from pathlib import Path

from recon.errors import ArtifactInvalid, InputLost, storage_errors
from vectorize.datasets.snapshot import ShardFile
from vectorize.datasets.source import Source

TRIES = 3  # fetches of a shard whose bytes are not those of the snapshot
LIMIT_BYTES = 20 << 30
_STALE_S = 3600.0


def default_folder() -> Path:
    """Return where shards are kept: ROADSCRIBE_CACHE, or a folder of the user's cache."""
    return _named() or _users() / "shards"


def snapshots_folder() -> Path:
    """Return where whole snapshots are kept: below ROADSCRIBE_CACHE, or in a folder of the user's cache."""
    return (_named() or _users()) / "snapshots"


def _named() -> Path | None:
    named = os.environ.get("ROADSCRIBE_CACHE", "")
    return Path(named) if named else None


def _users() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "roadscribe"


class ShardCache:
    """The shards of one source. Those of a folder are read where they lie."""

    def __init__(self, source: Source, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Keep at most `limit_bytes` in `folder`, or one shard; what was used least lately goes first."""
        self._source, self._folder, self._limit_bytes = source, folder, limit_bytes

    def open(self, shard: ShardFile) -> mmap.mmap:
        """Return the bytes of a shard, verified: they stay as they are, even if the file is removed.

        A damaged shard is fetched again. Raises ArtifactInvalid when it stays damaged, DiskFull, and what `Source`
        raises.
        """
        local = self._source.local(shard.path)
        for _ in range(TRIES):
            path = local or self._fetched(shard)
            try:
                data = _mapped(path)
            except FileNotFoundError as error:
                if local:
                    raise InputLost("the snapshot lacks a shard", where=str(path), hint="Copy it again.") from error
                continue  # another process made room meanwhile
            if data is not None and hashlib.sha256(data).hexdigest() == shard.sha256:
                return data
            if not local:
                path.unlink(missing_ok=True)
        where = f"{self._source.address}/{shard.path}"
        raise ArtifactInvalid(f"the shard is damaged, {TRIES} times in a row", where=where, hint="Publish it again.")

    def _fetched(self, shard: ShardFile) -> Path:
        target = self._folder / f"{shard.sha256}.tar"
        with storage_errors(str(target)):
            self._folder.mkdir(parents=True, exist_ok=True)
            # One process fetches, the others wait; the kernel drops the lock of one that is killed.
            with (self._folder / f".{shard.sha256}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if target.is_file():
                    os.utime(target)
                    return target
                part = self._folder / f".{shard.sha256}.part"
                part.unlink(missing_ok=True)  # of a process that was killed: the lock is ours
                self._make_room(shard.size_bytes)
                try:
                    self._source.fetch(shard.path, part)
                    part.replace(target)
                finally:
                    part.unlink(missing_ok=True)
        return target

    def _make_room(self, size_bytes: int) -> None:
        kept = sorted(((s.st_mtime_ns, s.st_size, p) for p in self._folder.glob("*.tar") if (s := _stat(p))), key=str)
        total = sum(size for _, size, _ in kept) + sum(map(_unfinished_bytes, self._folder.glob(".*.part")))
        for _, size, path in kept:
            if total + size_bytes <= self._limit_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size


def _unfinished_bytes(part: Path) -> int:
    """Return the size of a file that is being fetched; one that nobody fetches any more is removed."""
    try:
        with part.with_suffix(".lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)  # while the lock is ours, so that nobody begins to fetch it
            return 0
    except (BlockingIOError, PermissionError):  # somebody fetches it, or it is another user's
        pass
    except FileNotFoundError:  # earlier versions gave these files names of their own, and no lock
        if (found := _stat(part)) and time.time() - found.st_mtime > _STALE_S:
            part.unlink(missing_ok=True)
    return left.st_size if (left := _stat(part)) else 0


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _mapped(path: Path) -> mmap.mmap | None:
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(stream.fileno()).st_size else None
