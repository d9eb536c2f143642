from __future__ import annotations

import errno
import json
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from recon.artifact import canonical_json, digest_file
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import (
    ArtifactForeign,
    ArtifactInvalid,
    ConfigInvalid,
    ImageInvalid,
    InputLost,
    PathRefused,
    RoadscribeError,
    StorageError,
)
from recon.geo_origin import GeoOrigin
from recon.geometry import transform
from vectorize.config import PackConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.sample import place_of, sample_record
from vectorize.labels.shard import INDEX, key_prefix, pack, read_shard, sample_key
from vectorize.road_map import Element


@pytest.fixture
def drive(tmp_path):
    camera = Camera(
        name="cam.front",
        width_px=8,
        height_px=6,
        k=np.array([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]),
        ego_from_camera=transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.0, 0, 1.5)),
        distortion=np.zeros(0),
    )
    frames = []
    for i in range(5):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((6, 8, 3), 40 * i, np.uint8))
        image = Image(camera=camera.name, path=f"{i}.png", time_ns=i)
        frames.append(Frame(time_ns=i, world_from_ego=transform(np.eye(3), (60.0 * i, 0, 0)), images=(image,)))
    return DriveLog(name="a drive.1", root=tmp_path, cameras=(camera,), frames=tuple(frames))


@pytest.fixture
def labels(drive):
    random = np.random.default_rng(3)
    line = Element(
        element_class="divider",
        vertices=np.array([[-5.0, 1.25, 0.1], [5.0, 1.2345678, 0.2]]),
        seen=np.array([True, False]),
        confidence=np.array([0.75, 0.5], np.float32),
        score=0.6,
        style="dashed",
        views=np.array([7, 0], np.uint16),
        trips=np.array([5, 0], np.uint64),
    )
    one = [
        PseudoLabels(
            frame=i,
            time_ns=frame.time_ns,
            world_from_ego=frame.world_from_ego,
            elements=(line,) * i,
            known=random.random((40, 20)) < 0.5,
        )
        for i, frame in enumerate(drive.frames)
    ]
    return LabelSet(
        drive=drive.name,
        labels=tuple(one),
        length_m=6,
        width_m=3,
        mask_cell_m=0.15,
        provenance={"map": "abc"},
        trips=("a", "b", "c"),
    )


def test_equal_labels_make_equal_bytes(labels, drive, tmp_path):
    config = PackConfig(samples_per_shard=2, with_images=True)
    one, two = (pack(labels, drive, config, tmp_path / name) for name in ("x", "y"))
    assert one.digest == two.digest
    assert len([name for name in one.files if name.endswith(".tar")]) == 3
    for name in one.files:
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_a_consumer_gets_back_what_was_packed(labels, drive, tmp_path):
    pack(labels, drive, PackConfig(samples_per_shard=2, with_images=True), tmp_path / "x")
    samples = list(read_shard(tmp_path / "x"))
    assert [s.record["frame"] for s in samples] == [0, 1, 2, 3, 4]
    for sample, one in zip(samples, labels.labels, strict=True):
        assert np.array_equal(sample.known, one.known)
        assert sample.images["cam-front"] == (drive.root / f"{one.frame}.png").read_bytes()
    vector = samples[1].record["vectors"][0]
    assert vector["pts"] == [[-5.0, 1.25], [5.0, 1.235]]
    assert (vector["pts_num"], vector["cls_name"], vector["type"]) == (2, "divider", 0)
    assert vector["seen"] == [True, False]
    assert (vector["style"], vector["closed"], vector["score"]) == ("dashed", False, 0.6)
    assert samples[0].record["provenance"] == {"map": "abc"}
    assert samples[0].record["trips"] == ["a", "b", "c"]
    assert (vector["views"], vector["trips"]) == ([7, 0], [0, 2])
    assert str(drive.root) not in json.dumps(samples[0].record)


def test_plain_webdataset_reads_the_same_samples(labels, drive, tmp_path):
    pack(labels, drive, PackConfig(samples_per_shard=3), tmp_path / "x")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        urls = sorted(str(path) for path in (tmp_path / "x").glob("*.tar"))
        dataset = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
        found = list(dataset)
    assert [json.loads(s["json"])["sample_token"] for s in found] == [s["__key__"] for s in found]
    assert len(found) == 5
    mask = cv2.imdecode(np.frombuffer(found[2]["known.png"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask > 0, labels.labels[2].known)


def test_the_index_finds_each_sample_by_offset(labels, drive, tmp_path):
    pack(labels, drive, PackConfig(samples_per_shard=2), tmp_path / "x")
    shards = read_shard(tmp_path / "x")
    for row, one in zip(shards.index(), labels.labels, strict=True):
        data = (tmp_path / "x" / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        assert data.startswith(f"{row['key']}.json".encode())
        assert row["divider"] == len(one.elements)
        assert row["coverage"] == one.coverage
        assert row["time_ns"] == one.time_ns
    assert len({row["place"] for row in shards.index()}) == 3


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOENT, InputLost), (errno.EIO, StorageError), (errno.ESTALE, StorageError)]
)
def test_a_disk_that_does_not_answer_is_worth_another_try(labels, drive, tmp_path, monkeypatch, number, kind):
    pack(labels, drive, PackConfig(), tmp_path / "s")
    shards = read_shard(tmp_path / "s")
    [row, *_] = shards.index()

    def fail(self, mode):
        raise OSError(number, "no answer")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(RoadscribeError, match="no answer") as caught:
        shards.read(row)
    assert type(caught.value) is kind
    assert caught.value.retryable == (kind is StorageError)


def test_places_agree_between_drives_that_know_where_they_are(labels, drive):
    here = replace(drive, origin=GeoOrigin(latitude_deg=49.0, longitude_deg=8.4))
    # The same spot seen from another origin 300 m to the east.
    east = here.origin.to_degrees(np.array([300.0, 0.0]))
    other = replace(drive, name="b", origin=GeoOrigin(latitude_deg=49.0, longitude_deg=float(east[0])))
    moved = replace(labels.labels[1], world_from_ego=transform(np.eye(3), (60.0 - 300.0, 0, 0)))
    assert place_of(labels.labels[1], here) == place_of(moved, other)
    assert place_of(labels.labels[1], drive) == "a drive.1:0:0"


def test_drives_without_an_origin_share_the_places_of_a_named_frame(labels, drive, tmp_path):
    pack(labels, drive, PackConfig(local_frame="yard"), tmp_path / "x")
    shards = read_shard(tmp_path / "x")
    assert {row["place"].partition(":")[0] for row in shards.index()} == {"yard"}
    assert [one.record["place"] for one in shards] == [row["place"] for row in shards.index()]
    here = replace(drive, origin=GeoOrigin(latitude_deg=49.0, longitude_deg=8.4))
    assert place_of(labels.labels[1], here, "yard") == place_of(labels.labels[1], here)
    with pytest.raises(ConfigInvalid, match="with an origin"):
        PackConfig(local_frame="wgs84")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_shards_are_refused(labels, drive, tmp_path, damage):
    manifest = pack(labels, drive, PackConfig(), tmp_path / "x")
    victim = tmp_path / "x" / next(name for name in manifest.files if name.endswith(".tar"))
    data = bytearray(victim.read_bytes())
    if damage == "flip":
        data[700] ^= 1
        victim.write_bytes(bytes(data))
    elif damage == "truncate":
        victim.write_bytes(bytes(data[:-600]))
    else:
        victim.unlink()
    with pytest.raises(ArtifactInvalid):
        read_shard(tmp_path / "x")


def test_without_options_a_sample_is_record_mask_and_recorded_images(labels, drive, tmp_path):
    manifest = pack(labels, drive, PackConfig(with_images=True), tmp_path / "x")
    assert not {"with_ids", "with_depth"} & set(manifest.meta)
    (name,) = (name for name in manifest.files if name.endswith(".tar"))
    with tarfile.open(tmp_path / "x" / name) as tar:
        members = {info.name.partition(".")[2]: tar.extractfile(info).read() for info in tar.getmembers()[-3:]}
    assert list(members) == ["json", "known.png", "cam-front.png"]
    key = sample_key(key_prefix(labels, drive), labels.labels[-1])
    assert members["json"] == canonical_json(sample_record(key, labels.labels[-1], labels, drive))
    assert members["cam-front.png"] == (drive.root / "4.png").read_bytes()


def test_a_missing_image_publishes_nothing(labels, drive, tmp_path):
    (drive.root / "3.png").unlink()
    with pytest.raises(ImageInvalid, match=r"frame 3, 3\.png"):
        pack(labels, drive, PackConfig(with_images=True), tmp_path / "x")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_file_swapped_since_the_drive_was_read_is_not_packed(labels, drive, tmp_path):
    (image,) = drive.frames[2].images
    known = replace(drive.frames[2], images=(replace(image, sha256=digest_file(drive.root / "2.png")),))
    drive = replace(drive, frames=(*drive.frames[:2], known, *drive.frames[3:]))
    pack(labels, drive, PackConfig(with_images=True), tmp_path / "x")
    (drive.root / "2.png").write_bytes((drive.root / "4.png").read_bytes())
    with pytest.raises(ImageInvalid, match=r"changed after the drive was read"):
        pack(labels, drive, PackConfig(with_images=True), tmp_path / "y")
    (drive.root / "2.png").unlink()
    (drive.root / "2.png").symlink_to("/etc/hostname")
    with pytest.raises(PathRefused):
        pack(labels, drive, PackConfig(with_images=True), tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_no_labels_make_an_empty_shard(labels, drive, tmp_path):
    pack(replace(labels, labels=()), drive, PackConfig(), tmp_path / "x")
    assert list(read_shard(tmp_path / "x")) == []
    with pytest.raises(ArtifactForeign):
        read_shard(Path(tmp_path))
    assert digest_file(tmp_path / "x" / INDEX)
