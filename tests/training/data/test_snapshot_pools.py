"""A snapshot is a pool of the samples of one split, and one from elsewhere is copied and verified first."""

from __future__ import annotations

import pytest
from labelled_jobs import write_town
from small_shards import MODEL

from recon.errors import ArtifactInvalid
from training.data.place_split import check_apart
from training.data.shard_pool import ShardPool
from vectorize.datasets import source
from vectorize.datasets.build import build
from vectorize.datasets.config import SnapshotConfig, SplitConfig
from vectorize.datasets.snapshot_folder import local_copy


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    folder = tmp_path_factory.mktemp("city")
    towns = [write_town(folder, number) for number in range(6)]
    build(towns, SnapshotConfig(dataset="city", splits=SplitConfig(validation=0.4, test=0.0)), folder / "snapshot")
    return folder / "snapshot"


def test_a_snapshot_gives_each_split_its_samples(city):
    train, held = (ShardPool.open([city], MODEL, split=split) for split in ("train", "validation"))
    check_apart([train], [held])
    assert len(train) > 0 < len(held)
    assert train.report()["drives"] == len({train.read(n).record["drive"] for n in range(len(train))})
    for pool in (train, held):
        for number, entry in enumerate(pool.entries):
            assert pool.read(number).key == entry.key
    assert train.digest != held.digest


def test_a_copy_from_elsewhere_is_verified_and_completed(city, tmp_path, monkeypatch):
    monkeypatch.setenv("ROADSCRIBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(source.Folder, "local", lambda self, path: None)
    copy = local_copy(str(city))
    assert copy.is_relative_to(tmp_path / "cache")  # nothing is written beside the folder that was named
    assert ShardPool.open([copy], MODEL).digest == ShardPool.open([city], MODEL).digest
    victim = next((copy / "shards").glob("*.tar"))
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1] + b"x")
    with pytest.raises(ArtifactInvalid):
        for split in ("train", "validation"):
            ShardPool.open([copy], MODEL, split=split)
    assert local_copy(str(city)) == copy
    assert victim.read_bytes() == whole
