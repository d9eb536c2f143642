"""Folders of shards as one pool: every sample by its number, and what does not fit is refused or counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import small_shards
from small_shards import MODEL, PACK

from recon.artifact import MANIFEST
from recon.errors import ArtifactInvalid, ArtifactTooNew, ConfigInvalid, InputLost
from training.data.config import DataConfig, SourceConfig
from training.data.sampling import open_pools
from training.data.shard_pool import ShardPool, shard_folders
from vectorize.labels.shard import pack, read_shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    small_shards.write(root, name="a", frames=4)
    small_shards.write(root, name="b", frames=2)
    return root / "shards"


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "shards")


def test_samples_are_read_by_number_as_a_scan_finds_them(folder):
    pool = ShardPool.open([folder], MODEL)
    scanned = [sample for name in ("a", "b") for sample in read_shard(folder / name)]
    assert len(pool) == len(scanned) == 6
    for number in (5, 0, 3, 1, 4, 2):
        one, other = pool.read(number), scanned[number]
        assert (one.key, one.record, one.images) == (other.key, other.record, other.images)
        assert (one.ids, one.depth) == (other.ids, other.depth)
        assert list(one.images) == ["front", "cam-left"]
        assert np.array_equal(one.known, other.known)
    report = pool.report()
    assert (report["samples"], report["drives"], report["left_out"]) == (6, 2, {})
    assert report["elements"]["divider"] == 6
    assert report["coverage"] == 0.5


def test_the_digest_is_of_the_content(folder, tmp_path):
    one = ShardPool.open([folder], MODEL)
    assert ShardPool.open([folder / "a", folder / "b"], MODEL).digest == one.digest
    assert ShardPool.open([folder / "a"], MODEL).digest != one.digest
    assert ShardPool.open([folder], MODEL, weight=0.5).digest != one.digest
    assert one.only(one.entries[:3]).digest != one.digest


def test_folders_below_are_found_and_hidden_ones_are_not(folder):
    (folder / "a").rename(folder / ".kept")
    assert shard_folders(folder) == [folder / "b"]
    with pytest.raises(ConfigInvalid, match="no shards"):
        shard_folders(folder / "b" / "nothing")


def test_samples_of_which_nothing_is_known_are_left_out_and_counted(folder, tmp_path):
    small_shards.write(tmp_path, name="c", frames=3, known=np.zeros((40, 20), bool))
    pool = ShardPool.open([folder], MODEL)
    assert len(pool) == 6
    assert pool.report()["left_out"] == {"nothing is known": 3}
    with pytest.raises(ConfigInvalid, match="no sample to train with"):
        ShardPool.open([folder / "c"], MODEL)


def test_samples_without_elements_stay(tmp_path):
    pool = ShardPool.open([small_shards.write(tmp_path, frames=2, elements=())], MODEL)
    assert pool.report()["without_elements"] == len(pool) == 2


def test_shards_that_do_not_fit_the_model_are_refused(folder, tmp_path):
    with pytest.raises(ConfigInvalid, match=r"patch is 60 x 30 m, the model's 100 x 30 m"):
        ShardPool.open([folder], replace(MODEL, patch=replace(MODEL.patch, length_m=100.0)))
    small_shards.write(tmp_path, name="c", size_m=(40.0, 20.0))
    with pytest.raises(ConfigInvalid, match="40 x 20 m"):
        ShardPool.open([folder], MODEL)
    bare = small_shards.write(tmp_path / "bare", config=replace(PACK, with_images=False))
    with pytest.raises(ConfigInvalid, match="no images"):
        ShardPool.open([bare], MODEL)
    assert len(ShardPool.open([bare], MODEL, images=False)) == 4


def test_labels_without_a_class_of_the_model_are_refused_at_once(tmp_path, monkeypatch):
    from vectorize.labels import sample

    monkeypatch.setattr(sample, "CLASS_TYPE", sample.CLASS_TYPE | {"stop_line": 9})
    older = small_shards.write(tmp_path, name="a", frames=2)
    with pytest.raises(ArtifactInvalid, match="without the model's classes stop_line"):
        ShardPool.open([older], MODEL)
    assert len(ShardPool.open([older], replace(MODEL, classes=("divider", "boundary")))) == 2


def test_masks_of_different_cells_are_refused(folder, tmp_path):
    log = small_shards.drive(tmp_path / "c", name="c", frames=2)
    coarse = replace(small_shards.labels(log, known=np.ones((20, 10), bool)), mask_cell_m=3.0)
    pack(coarse, log, replace(PACK, with_ids=False), folder / "c")
    with pytest.raises(ConfigInvalid, match="cells of different sizes"):
        ShardPool.open([folder], MODEL)
    sources = tuple(SourceConfig(folders=(str(folder / name),)) for name in ("a", "c"))
    with pytest.raises(ConfigInvalid, match="cells of different sizes") as error:
        open_pools(DataConfig(sources=sources), MODEL)
    assert error.value.where == f"{folder / 'a'} and {folder / 'c'}"
    assert len(open_pools(DataConfig(sources=sources[:1]), MODEL)) == 1


def test_a_sample_that_is_there_twice_is_refused(folder, tmp_path):
    small_shards.write(tmp_path / "again", name="a")
    with pytest.raises(ConfigInvalid, match="twice"):
        ShardPool.open([folder, tmp_path / "again"], MODEL)


def test_damaged_and_newer_shards_are_refused_before_training(folder):
    tar = next((folder / "a").glob("*.tar"))
    data = bytearray(tar.read_bytes())
    data[3000] ^= 1
    tar.write_bytes(bytes(data))
    with pytest.raises(ArtifactInvalid):
        ShardPool.open([folder], MODEL)
    manifest = json.loads((folder / "b" / MANIFEST).read_text())
    (folder / "b" / MANIFEST).write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(ArtifactTooNew):
        ShardPool.open([folder / "b"], MODEL)


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_shard_that_changes_while_training_is_an_error(folder, damage):
    pool = ShardPool.open([folder / "b"], MODEL)
    tar = next((folder / "b").glob("*.tar"))
    if damage == "gone":
        tar.unlink()
    else:
        tar.write_bytes(tar.read_bytes()[:-30_000] if damage == "cut" else bytes(len(tar.read_bytes())))
    with pytest.raises(InputLost if damage == "gone" else ArtifactInvalid):
        pool.read(1)


def test_other_labels_of_the_same_keyframes_lend_their_images(folder, tmp_path):
    small = replace(PACK, image_px=(32, 24))
    pictures = small_shards.write(tmp_path / "small", name="a", frames=4, config=small)
    bare = small_shards.write(
        tmp_path / "bare", name="a", frames=4, config=replace(PACK, with_images=False), elements=()
    )
    pool = ShardPool.open([bare], MODEL, pictures=[pictures])
    lent, own = pool.read(2), read_shard(pictures)
    other = next(sample for sample in own if sample.key == lent.key)
    assert (lent.images, lent.ids, lent.depth) == (other.images, other.ids, other.depth)
    assert lent.record["cameras"] == other.record["cameras"]
    assert lent.record["vectors"] == []
    assert lent.observed is not None
    assert np.array_equal(lent.observed, other.known)
    assert pool.shards[0].read(pool.entries[2].row).observed is None
    other = ShardPool.open([bare], MODEL, pictures=[pictures, folder / "b"])
    assert other.digest != pool.digest
    with pytest.raises(ConfigInvalid, match="no sample"):
        ShardPool.open([bare], MODEL, pictures=[folder / "b"])


def test_samples_that_are_lent_no_images_keep_their_own(folder, tmp_path):
    bare = small_shards.write(tmp_path / "bare", name="a", frames=4, config=replace(PACK, with_images=False))
    pool = ShardPool.open([bare, folder / "b"], MODEL, pictures=[folder / "a"])
    assert len(pool) == 6
    assert pool.report()["left_out"] == {}
    own = {sample.key: sample for sample in read_shard(folder / "b")}
    for number, entry in enumerate(pool.entries):
        sample = pool.read(number)
        assert list(sample.images) == ["front", "cam-left"]
        if entry.drive == "b":
            assert (sample.record, sample.images) == (own[sample.key].record, own[sample.key].images)
            assert (sample.ids, sample.observed) == (own[sample.key].ids, None)
    part = small_shards.write(tmp_path / "part", name="b", frames=2, config=replace(PACK, with_images=False))
    pool = ShardPool.open([bare, part], MODEL, pictures=[folder / "a"])
    assert pool.report()["left_out"] == {"no images elsewhere": 2}


@pytest.mark.parametrize("image_px", [(0, 0), (32, 24)])
def test_labels_keep_their_ids_and_depth_where_lent_images_have_none(tmp_path, image_px):
    plain = replace(PACK, with_ids=False, with_depth=False, image_px=image_px)
    pictures = small_shards.write(tmp_path / "plain", name="a", config=plain)
    rich = small_shards.write(tmp_path / "rich", name="a", config=replace(PACK, with_images=False))
    pool = ShardPool.open([rich], MODEL, pictures=[pictures])
    sample, own = pool.read(1), pool.shards[0].read(pool.entries[1].row)
    assert list(sample.images) == ["front", "cam-left"]
    assert list(own.ids) == list(own.depth) == ["front", "cam-left"]
    if image_px == (0, 0):
        assert (sample.ids, sample.depth) == (own.ids, own.depth)
        assert sample.record["depth_unit_m"] == own.record["depth_unit_m"] > 0.0
    else:
        assert sample.ids == sample.depth == {}  # they are of other pixels
