"""A snapshot names its shards by content, and says of each sample where it is and which split it belongs to."""

from __future__ import annotations

import shutil

import pyarrow.parquet as pq
import pytest
import small_shards
from other_python import run_with
from small_shards import BARE, at_degrees

from recon.artifact import digest_file, read_manifest, seal
from recon.errors import ArtifactForeign, ArtifactInvalid, ArtifactTooNew, ConfigInvalid
from training.data.place_split import check_apart
from training.data.shard_pool import ShardPool
from vectorize.datasets.build import build
from vectorize.datasets.config import FilterConfig, SnapshotConfig, SplitConfig
from vectorize.datasets.snapshot import Snapshot
from vectorize.labels.shard import ShardSet

SPLITS = SplitConfig(validation=0.3, test=0.1)
CITY = SnapshotConfig(dataset="city", splits=SPLITS)


@pytest.fixture(scope="module")
def towns(tmp_path_factory):
    """Return the shards of six drives 1.5 km apart, of eight keyframes each, three to a tar file."""
    folder = tmp_path_factory.mktemp("towns")
    config = small_shards.PackConfig(samples_per_shard=3)
    return [
        small_shards.write(folder, name=f"town{n}", frames=8, origin=at_degrees(8 + 0.02 * n), step_m=40, config=config)
        for n in range(6)
    ]


@pytest.fixture(scope="module")
def city(towns, tmp_path_factory):
    folder = tmp_path_factory.mktemp("city") / "snapshot"
    build(towns, CITY, folder)
    return folder


def opened(folder):
    snapshot = Snapshot.parse((folder / "snapshot.json").read_bytes(), str(folder))
    return snapshot, snapshot.rows((folder / "samples.parquet").read_bytes())


def test_every_sample_is_found_by_digest_and_offset(city):
    snapshot, rows = opened(city)
    assert snapshot.sha256 == digest_file(city / "snapshot.json")
    assert 0 < len(rows) == snapshot.record["samples"]["count"] < 48
    files = {one.sha256: one for one in snapshot.shards.values()}
    assert {row["shard"] for row in rows} == set(files)
    for one in files.values():
        assert digest_file(city / one.path) == one.sha256
        assert (city / one.path).stat().st_size == one.size_bytes
    shards = ShardSet(folder=city, manifest=read_manifest(city, kind="Snapshot", schema=1))
    for row in rows:
        sample = shards.read(row | {"shard": files[row["shard"]].path})
        assert (sample.key, sample.record["place"]) == (row["key"], row["place"])
        assert row["confidence"] == pytest.approx(0.75)


def test_a_shard_states_what_it_holds(city):
    snapshot, rows = opened(city)
    for entry in snapshot.record["shards"]:
        own = [row for row in rows if row["shard"] == entry["sha256"]]
        assert entry["samples"] == len(own) == sum(entry["splits"].values())
        assert entry["elements"]["divider"] == sum(row["divider"] for row in own)
        assert (entry["coverage"], entry["confidence"]) == (0.5, pytest.approx(0.75))
        box = entry["bounds"]
        for row in own:
            _, column, number = row["place"].split(":")
            assert box["west"] <= int(column) / 1000 < box["east"]
            assert box["south"] <= int(number) / 1000 < box["north"]
    totals = snapshot.record["totals"]
    assert {name: sum(row["split"] == name for row in rows) for name in totals} == {
        name: total["samples"] for name, total in totals.items()
    }
    assert snapshot.record["left_out"] == {"between splits": 48 - len(rows)}


def test_splits_of_a_snapshot_never_meet(city, towns):
    _, rows = opened(city)
    pool = ShardPool.open(towns, small_shards.MODEL, images=False)
    of_split = {row["key"]: row["split"] for row in rows}
    parts = {
        name: pool.only([entry for entry in pool.entries if of_split.get(entry.key) == name])
        for name in ("train", "validation", "test")
    }
    assert all(map(len, parts.values()))
    check_apart([parts["train"]], [parts["validation"], parts["test"]])
    check_apart([parts["validation"]], [parts["test"]])


def test_equal_shards_give_equal_bytes_in_any_order_of_names(city, towns, tmp_path):
    build(towns, CITY, tmp_path / "again")
    for name in ("snapshot.json", "samples.parquet", "croissant.json", "README.md"):
        assert (tmp_path / "again" / name).read_bytes() == (city / name).read_bytes()


def test_a_later_snapshot_keeps_what_was_there_and_its_splits(city, towns, tmp_path):
    build(towns[:3], CITY, tmp_path / "first")
    build(towns[3:], CITY, tmp_path / "second", base=tmp_path / "first")
    first, second, whole = (opened(folder)[1] for folder in (tmp_path / "first", tmp_path / "second", city))
    assert second == whole
    assert [row for row in second if row["drive"] in ("town0", "town1", "town2")] == first
    assert opened(tmp_path / "second")[0].record["extends"] == opened(tmp_path / "first")[0].sha256


def test_labels_made_anew_replace_those_of_the_same_drive(towns, tmp_path):
    small_shards.write(
        tmp_path,
        name="town1",
        frames=8,
        origin=at_degrees(8.02),
        step_m=40,
        config=BARE,
        elements=small_shards.ELEMENTS[:1],
    )
    build(towns[1:3], CITY, tmp_path / "first")
    build([tmp_path / "shards" / "town1"], CITY, tmp_path / "second", base=tmp_path / "first")
    rows = opened(tmp_path / "second")[1]
    assert {row["boundary"] for row in rows if row["drive"] == "town1"} == {0}
    assert {row["boundary"] for row in rows if row["drive"] == "town2"} == {1}
    assert len({row["shard"] for row in rows if row["drive"] == "town1"}) == 1


ALL = SnapshotConfig(dataset="city", splits=SplitConfig(validation=0.0, test=0.0))


def extended(tmp_path, *drives):
    """Return the samples of snapshots that extend each other, each of one drive with these properties."""
    base = None
    for number, changes in enumerate(drives):
        fields = {"name": "a", "config": BARE, "origin": at_degrees(8.0)} | changes
        shards = small_shards.write(tmp_path / str(number), **fields)
        build([shards], ALL, tmp_path / f"snapshot{number}", base=base)
        base = tmp_path / f"snapshot{number}"
    return opened(base)[1]


def test_a_drive_that_got_frames_has_every_keyframe_once(tmp_path):
    rows = extended(tmp_path, {"frames": 4, "elements": small_shards.ELEMENTS[:1]}, {"frames": 5})
    assert [row["time_ns"] for row in rows] == [0, 1, 2, 3, 4]
    assert {row["boundary"] for row in rows} == {1}
    assert len({row["key"].rpartition("-")[0] for row in rows}) == 1


def test_keyframes_that_a_drive_lost_keep_their_labels(tmp_path):
    rows = extended(tmp_path, {"frames": 5}, {"frames": 3, "elements": small_shards.ELEMENTS[:1]})
    assert sorted((row["time_ns"], row["boundary"]) for row in rows) == [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)]


def test_a_keyframe_that_was_moved_over_the_border_of_a_cell_is_the_same(tmp_path):
    step = {"step_m": 0.5, "origin": at_degrees(8.0)}
    rows = extended(tmp_path, step | {"frames": 4}, step | {"frames": 5, "origin": at_degrees(8.0 - 1e-6)})
    assert len({row["place"] for row in rows}) == 2
    assert [row["time_ns"] for row in rows] == [0, 1, 2, 3, 4]


def test_two_drives_of_one_name_elsewhere_are_both_kept(tmp_path):
    rows = extended(tmp_path, {"frames": 4}, {"frames": 5, "origin": at_degrees(8.01)}, {"frames": 3, "origin": None})
    assert len(rows) == 12
    assert len({row["key"] for row in rows}) == 12


def test_what_is_newly_labelled_leaves_drives_of_other_names_alone(tmp_path):
    rows = extended(tmp_path, {"frames": 4}, {"name": "b", "frames": 5})
    assert len(rows) == 9


@pytest.mark.parametrize("change", [{"splits": SplitConfig()}, {"dataset": "town"}])
def test_the_splits_of_a_dataset_never_change(towns, tmp_path, change):
    build(towns[1:2], CITY, tmp_path / "first")
    fields = {"dataset": "city", "splits": SPLITS} | change
    with pytest.raises(ConfigInvalid, match="never change"):
        build(towns[2:3], SnapshotConfig(**fields), tmp_path / "second", base=tmp_path / "first")


@pytest.mark.parametrize(
    ("filters", "reason", "left"),
    [
        (FilterConfig(min_coverage=0.6), "known too little", 0),
        (FilterConfig(min_confidence=0.8), "too uncertain", 0),
        (FilterConfig(classes=("stop_line",)), "without these classes", 0),
        (FilterConfig(classes=("stop_line", "divider"), min_coverage=0.5, min_confidence=0.75), "", 36),
        (FilterConfig(bounds_deg=(8.019, 48.9, 8.03, 49.1)), "out of bounds", 8),
    ],
)
def test_filters_leave_samples_out_and_say_why(towns, tmp_path, filters, reason, left):
    config = SnapshotConfig(dataset="city", splits=SplitConfig(validation=0.0, test=0.0), filters=filters)
    if left == 0:
        with pytest.raises(ConfigInvalid, match=f"48 {reason}"):
            build(towns, config, tmp_path / "out")
        return
    build(towns, config, tmp_path / "out")
    snapshot, rows = opened(tmp_path / "out")
    assert len(rows) == (left if reason else 48)
    assert snapshot.record["left_out"] == ({reason: 48 - left} if reason else {})


def test_a_drive_without_an_origin_has_bounds_of_its_own_frame(tmp_path):
    folder = small_shards.write(tmp_path, name="alone", frames=4, config=BARE)
    config = SnapshotConfig(dataset="alone", splits=SplitConfig(validation=0.0, test=0.0))
    build([folder], config, tmp_path / "out")
    box = opened(tmp_path / "out")[0].record["shards"][0]["bounds"]
    assert box == {"unit": "m", "frame": "alone", "west": 0.0, "south": 0.0, "east": 30.0, "north": 0.0}


def test_trips_of_one_frame_have_the_same_ground_in_one_split(tmp_path):
    config = small_shards.PackConfig(local_frame="yard")
    trips = [small_shards.write(tmp_path, name=f"trip{n}", frames=9, step_m=300.0, config=config) for n in range(6)]
    build(trips, SnapshotConfig(dataset="yard", splits=SplitConfig(validation=0.3, test=0.2)), tmp_path / "out")
    of_ground = {}
    for row in opened(tmp_path / "out")[1]:
        of_ground.setdefault(row["x_m"], []).append(row["split"])
    assert len({split for found in of_ground.values() for split in found}) > 1
    assert all(len(found) == 6 and len(set(found)) == 1 for found in of_ground.values())


@pytest.mark.parametrize("victim", ["index.parquet", "tar"])
def test_a_damaged_shard_is_never_published(towns, tmp_path, victim):
    folder = shutil.copytree(towns[0], tmp_path / "damaged")
    path = folder / victim if victim != "tar" else sorted(folder.glob("*.tar"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    config = SnapshotConfig(dataset="city", splits=SplitConfig(validation=0.0, test=0.0))
    with pytest.raises(ArtifactInvalid) as error:
        build([folder, towns[1]], config, tmp_path / "out")
    assert error.value.where == str(path)
    assert not (tmp_path / "out").exists()


def test_patches_of_two_sizes_are_refused(towns, tmp_path):
    small_shards.write(tmp_path, name="small", config=BARE, size_m=(30.0, 30.0))
    with pytest.raises(ConfigInvalid, match="patch"):
        build([towns[0], tmp_path / "shards" / "small"], CITY, tmp_path / "out")


def test_shards_of_an_earlier_version_have_no_confidence(towns, tmp_path):
    folder = shutil.copytree(towns[0], tmp_path / "old")
    table = pq.read_table(folder / "index.parquet").drop_columns(["confidence"])
    pq.write_table(table, folder / "index.parquet")
    before = read_manifest(folder, kind="Shard", schema=1, verify=False)
    after = seal(folder, kind="Shard", schema=1, meta=before.meta, parents=before.parents, config=before.config)
    assert after.digest != before.digest
    build([folder], SnapshotConfig(dataset="a", splits=SplitConfig(validation=0, test=0)), tmp_path / "out")
    snapshot, rows = opened(tmp_path / "out")
    assert {row["confidence"] for row in rows} == {None}
    assert snapshot.record["totals"]["train"]["confidence"] is None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"{", ArtifactInvalid),
        (b"[]", ArtifactForeign),
        (b'{"format": "other"}', ArtifactForeign),
        (b'{"format": "roadscribe-snapshot", "schema": 99}', ArtifactTooNew),
        (b'{"format": "roadscribe-snapshot", "schema": 1, "shards": {}}', ArtifactInvalid),
    ],
)
def test_what_is_no_record_is_refused(data, error):
    with pytest.raises(error):
        Snapshot.parse(data, "here")


def test_another_table_of_samples_is_refused(city):
    snapshot, _ = opened(city)
    data = bytearray((city / "samples.parquet").read_bytes())
    data[-9] ^= 4
    with pytest.raises(ArtifactInvalid, match="table"):
        snapshot.rows(bytes(data))


READ = """
import json, logging, sys
logging.disable()
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1])
rows = [{k.split("/")[1]: v for k, v in row.items()} for row in dataset.records("samples")]
plain = [{k: v.decode() if isinstance(v, bytes) else v.item() for k, v in row.items()} for row in rows]
print(json.dumps({"issues": list(dataset.metadata.issues.errors), "rows": plain}))
"""


@pytest.mark.slow
def test_croissants_own_reader_accepts_the_description_and_reads_the_samples(city):
    found = run_with("mlcroissant", READ, city / "croissant.json")
    assert found["issues"] == []
    assert found["rows"] == opened(city)[1]
