"""An aggregate job on real, small drives: trips are brought together, one that is elsewhere is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import straight_road

from recon.config import FitConfig
from recon.errors import ConfigInvalid, TripsApart
from vectorize.labels.shard import read_shard
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import TripRef
from workers.jobs.label import LabelJob
from workers.local_pool import LocalPool
from workers.run import RunReport, run
from workers.store import Store

FIT = FitConfig(corridor_m=6.0, cell_m=0.2, epochs=1)


def trip(folder: Path, name: str, shift: tuple[float, float]) -> Path:
    """Write a trip through the straight road whose stated poses are off by `shift` metres."""
    straight_road.write(folder / name)
    path = folder / name / "drive.json"
    body = json.loads(path.read_text())
    body["name"] = name
    for frame in body["frames"]:
        for axis in (0, 1):
            frame["world_from_ego"][axis][3] += shift[axis]
    path.write_text(json.dumps(body))
    return folder / name


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("trips")
    return [trip(folder, "one", (0.0, 0.15)), trip(folder, "two", (0.0, -0.25)), trip(folder, "far", (0.0, 900.0))]


def job(drives: list[Path]) -> AggregateJob:
    return AggregateJob(drives=tuple(TripRef(drive=str(drive)) for drive in drives), fit=FIT)


@pytest.fixture(scope="module")
def finished(drives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, RunReport]:
    store = Store(tmp_path_factory.mktemp("store"), min_free_bytes=0)
    return store, run(job(drives), store, LocalPool())


@pytest.mark.slow
def test_trips_become_one_site(finished: tuple[Store, RunReport]) -> None:
    body = finished[1].record()
    one, two, far = body["trips"]
    assert [trip["used"] for trip in (one, two, far)] == [True, True, False]
    assert "m lie between" in far["left_out"]
    # The two are 0.4 m apart across the road: each comes half of the way.
    assert one["shift_m"] == pytest.approx(0.2, abs=0.05)
    assert two["shift_m"] == pytest.approx(0.2, abs=0.05)
    assert body["keyframes"] == 20
    assert body["classes"]["divider"]["elements"] >= 3


@pytest.mark.slow
def test_labels_name_the_trips_that_saw_them(finished: tuple[Store, RunReport]) -> None:
    folders = {s.name: s.folder for s in finished[1].stages}
    features = json.loads((folders["draw"] / "map.geojson").read_text())
    assert features["trips"] == ["one", "two"]  # not the one that was left out
    assert all(feature["properties"]["trips"] == ["one", "two"] for feature in features["features"])
    vectors = [v for sample in read_shard(folders["pack 2"]) for v in sample.record["vectors"]]
    assert all(v["trips"] and max(v["trips"]) < 2 for v in vectors)
    assert max(max(v["views"]) for v in vectors) > 1


@pytest.mark.slow
def test_every_trip_has_its_shards(finished: tuple[Store, RunReport]) -> None:
    names = {file.path for file in finished[1].files()}
    assert {"map.geojson", "shards/1/index.parquet", "shards/2/index.parquet", "shards/3/manifest.json"} <= names
    samples = {s.name: s.manifest.meta["samples"] for s in finished[1].stages if s.name.startswith("pack")}
    assert samples == {"pack 1": 10, "pack 2": 10, "pack 3": 0}


@pytest.mark.slow
def test_trips_without_an_origin_share_the_places_of_their_site(finished: tuple[Store, RunReport]) -> None:
    folders = {s.name: s.folder for s in finished[1].stages}
    places = [{row["place"] for row in read_shard(folders[f"pack {n}"]).index()} for n in (1, 2)]
    assert {place.partition(":")[0] for place in places[0] | places[1]} == {"one"}
    assert places[0] & places[1]


@pytest.mark.slow
def test_samples_carry_the_corrected_poses_throughout(finished: tuple[Store, RunReport]) -> None:
    """A consumer projects labels with the images' poses: they must be those that the labels were cropped by."""
    for number, stated_m in ((1, -1.6), (2, -2.0)):
        folder = next(s.folder for s in finished[1].stages if s.name == f"pack {number}")
        for sample in read_shard(folder):
            pose = np.array(sample.record["world_from_ego"])
            assert pose[1, 3] == pytest.approx(-1.8, abs=0.06)
            assert abs(pose[1, 3] - stated_m) > 0.1
            for image in sample.record["images"]:
                np.testing.assert_allclose(image["world_from_ego"], pose)


@pytest.mark.slow
def test_a_site_of_drives_that_moved_reads_them_where_they_are(
    finished: tuple[Store, RunReport], drives: list[Path], tmp_path: Path
) -> None:
    store, _ = finished
    moved = [Path(shutil.copytree(drive, tmp_path / drive.name)) for drive in drives[:2]]
    again = run(job([*moved, drives[2]]), store, LocalPool())
    roots = [stage.manifest.meta["root"] for stage in again.stages if stage.name.startswith("place")]
    assert roots == [str(drive) for drive in (*moved, drives[2])]
    assert next(stage for stage in again.stages if stage.name == "fit").skipped


def test_a_drive_named_twice_is_refused(drives: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="drives 1 and 2 are the same"):
        run(job([drives[0], drives[0]]), Store(tmp_path, 0), LocalPool())


def test_held_out_frames_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="holdout_every"):
        AggregateJob(drives=(TripRef(drive="a"), TripRef(drive="b")), fit=FitConfig(holdout_every=5))


@pytest.mark.slow
def test_the_first_trip_may_be_the_one_left_out(drives: list[Path], tmp_path: Path) -> None:
    body = run(job([drives[2], drives[0], drives[1]]), Store(tmp_path, 0), LocalPool()).record()
    assert [trip["used"] for trip in body["trips"]] == [False, True, True]
    assert body["classes"]["divider"]["elements"] >= 3


@pytest.mark.slow
def test_a_label_job_of_one_trip_shares_its_results(finished: tuple[Store, RunReport], drives: list[Path]) -> None:
    store, _ = finished
    again = run(job(drives), store, LocalPool())
    assert {stage.name for stage in again.stages if not stage.skipped} == {"ingest 1", "ingest 2", "ingest 3"}
    alone = run(LabelJob(drive=str(drives[0]), fit=FIT), store, LocalPool())
    assert next(stage for stage in alone.stages if stage.name == "segment").skipped


def test_trips_that_do_not_meet_fail_with_a_reason(drives: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TripsApart, match="trip 2, far: it shares no road"):
        run(job([drives[0], drives[2]]), Store(tmp_path, 0), LocalPool())


def test_the_plan_names_every_trip() -> None:
    plan = AggregateJob(drives=(TripRef(drive="a"), TripRef(drive="b"))).plan()
    names = [stage.name for stage in plan]
    assert len(set(names)) == len(names)
    assert {stage.role for stage in plan} == {stage.name for stage in LabelJob(drive="a").plan()} | {"align", "place"}
    for i, stage in enumerate(plan):
        assert set(stage.parents.values()) <= set(names[:i])
