"""A cache of shards says what is wrong with its disk, and counts what killed processes left in it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os

import pytest
from full_disk import full_disk

from recon.errors import DiskFull, InputLost
from vectorize.datasets import source
from vectorize.datasets.shard_cache import ShardCache
from vectorize.datasets.snapshot import ShardFile
from vectorize.datasets.source import Folder


class Elsewhere(Folder):
    """A source elsewhere, which counts how often it is asked."""

    def __init__(self, folder):
        super().__init__(str(folder))
        self.asked, self.fault = 0, 0

    def local(self, path):
        return None

    def _fetch(self, path, target):
        self.asked += 1
        if self.fault:
            raise OSError(self.fault, os.strerror(self.fault))
        super()._fetch(path, target)


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """Return the source of four shards of 1000 bytes, and these."""
    monkeypatch.setattr(source, "PAUSES_S", (0.0,) * 5)
    (tmp_path / "snapshot" / "shards").mkdir(parents=True)
    shards = []
    for number in range(4):
        data = bytes([number]) * 1000
        shards.append(ShardFile(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)))
        (tmp_path / "snapshot" / shards[-1].path).write_bytes(data)
    return Elsewhere(tmp_path / "snapshot"), shards


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_at_once_and_where_it_is(snapshot, tmp_path, fault):
    origin, shards = snapshot
    origin.fault = fault
    with pytest.raises(DiskFull) as error:
        ShardCache(origin, tmp_path / "cache").open(shards[0])
    assert error.value.where == str(tmp_path / "cache" / f"{shards[0].sha256}.tar")
    assert origin.asked == 1
    origin.fault = 0
    assert len(ShardCache(origin, tmp_path / "cache").open(shards[0])) == 1000


def test_a_disk_that_fills_up_while_a_shard_is_written_is_full(snapshot, tmp_path):
    origin, shards = snapshot
    with full_disk(), pytest.raises(DiskFull):
        ShardCache(origin, tmp_path / "cache").open(shards[0])
    assert origin.asked == 1
    assert not list((tmp_path / "cache").glob(".*.part"))


def test_a_source_that_fails_is_asked_again(snapshot, tmp_path):
    origin, shards = snapshot
    origin.fault = errno.ECONNRESET
    with pytest.raises(source.StorageError, match="cannot be read"):
        ShardCache(origin, tmp_path / "cache").open(shards[0])
    assert origin.asked == 6


def test_what_killed_processes_left_is_removed(snapshot, tmp_path):
    origin, shards = snapshot
    cache = tmp_path / "cache"
    ShardCache(origin, cache).open(shards[0])
    left = [cache / f".{shards[1].sha256}.part", cache / f".{shards[2].sha256}.part"]
    earlier = cache / f".{'0' * 32}.part"  # by a version that gave them names of their own
    for path in (*left, earlier):
        path.write_bytes(b"x" * 10_000)
    for shard in shards[1:3]:
        (cache / f".{shard.sha256}.lock").touch()
    os.utime(earlier, (1, 1))
    ShardCache(origin, cache, limit_bytes=2000).open(shards[1])
    assert sorted(path.name for path in cache.glob("*.tar")) == sorted(f"{one.sha256}.tar" for one in shards[:2])
    assert not list(cache.glob(".*.part"))


def test_what_others_fetch_now_is_counted_and_kept(snapshot, tmp_path):
    origin, shards = snapshot
    cache = tmp_path / "cache"
    ShardCache(origin, cache).open(shards[0])
    unfinished = cache / f".{shards[1].sha256}.part"
    unfinished.write_bytes(b"x" * 500)
    young = cache / f".{'0' * 32}.part"
    young.write_bytes(b"x" * 500)
    with (cache / f".{shards[1].sha256}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ShardCache(origin, cache, limit_bytes=2500).open(shards[2])
    assert [path.name for path in cache.glob("*.tar")] == [f"{shards[2].sha256}.tar"]
    assert sorted(cache.glob(".*.part")) == sorted([unfinished, young])


def test_a_shard_that_a_folder_lacks_is_lost_not_damaged(snapshot, tmp_path):
    _, shards = snapshot
    folder = tmp_path / "snapshot"
    (folder / shards[0].path).unlink()
    with pytest.raises(InputLost, match="lacks a shard") as error:
        ShardCache(Folder(str(folder)), tmp_path / "cache").open(shards[0])
    assert error.value.where == str(folder / shards[0].path)
