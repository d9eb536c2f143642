"""nuScenes: scenes, keyframes, sweeps and calibration of a small data root and a real one, and broken tables."""
# ruff: noqa: E501 - the cases are a table

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import devkit_drive
import numpy as np
import pytest
import small_nuscenes as small
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data

from recon.errors import (
    CalibrationMissing,
    ConfigInvalid,
    DriveEmpty,
    DriveInvalid,
    ImageInvalid,
    PoseInvalid,
    RoadscribeError,
)
from recon.formats.nuscenes import json_tables
from recon.formats.nuscenes.json_tables import rows
from recon.formats.read_drive import find_problems, read_drive
from recon.geometry import apply, invert, yaw_of
from recon.sensors.lidar import world_points
from recon.sensors.sweep import decode_sweep

SCENE = {"scene": "scene-0001"}


def test_keyframes_are_read_with_their_images_and_lidar(tmp_path: Path) -> None:
    drive = read_drive(small.write(tmp_path / "root"), **SCENE)
    assert drive.name == "scene-0001"
    assert [camera.name for camera in drive.cameras] == ["CAM_BACK", "CAM_FRONT"]  # a radar sees no lines
    assert [frame.time_ns for frame in drive.frames] == [1000 * (small.START_US + i * small.KEY_US) for i in range(3)]
    assert all(len(frame.images) == 2 and frame.lidar_path and frame.keyframe for frame in drive.frames)
    assert drive.camera("CAM_FRONT").k[:2, 2].tolist() == [16.0, 12.0]
    assert len(world_points(drive, max_range_m=50)) == 60
    assert drive.origin is not None
    assert drive.origin.latitude_deg == pytest.approx(42.336849, abs=1e-6)


def test_each_image_keeps_its_own_time_and_pose(tmp_path: Path) -> None:
    drive = read_drive(small.write(tmp_path / "root"), **SCENE)
    for _, frame, image in drive.images():
        late_us = small.LATE_US[image.camera]
        assert image.time_ns - frame.time_ns == 1000 * late_us
        ahead = apply(invert(frame.world_from_ego), frame.pose_of(image)[:3, 3])
        assert ahead == pytest.approx([small.SPEED_M_S * late_us * 1e-6, 0, 0], abs=1e-6)
    assert yaw_of(drive.frames[0].world_from_ego) == pytest.approx(np.pi / 2)


def test_sweeps_lie_between_the_keyframes_in_order(tmp_path: Path) -> None:
    root = small.write(tmp_path / "root")
    drive, keys = read_drive(root, sweeps=True, **SCENE), read_drive(root, **SCENE)
    assert len(drive.frames) == 21  # 20 turns a second for a second
    assert [f.time_ns for f in drive.frames if f.keyframe] == [f.time_ns for f in keys.frames]
    for camera in ("CAM_FRONT", "CAM_BACK"):
        times = [image.time_ns for _, _, image in drive.images() if image.camera == camera]
        assert times == sorted(set(times))
        recorded = [r for r in small.tables()["sample_data"] if r["calibrated_sensor_token"] == f"calib-{camera}"]
        mine = [r for r in recorded if r["timestamp"] < small.START_US + 10_000_000]
        assert len(times) >= len(mine) - 2  # images whose turn is a keyframe's find another's place taken
    assert all(abs(image.time_ns - frame.time_ns) <= 50_000_000 for _, frame, image in drive.images())


@pytest.mark.parametrize(
    ("scene", "message"),
    [("", "holds 2 scenes"), ("scene-0009", "0 scenes"), ("v9/scene-0001", "0 scenes")],
)
def test_a_scene_must_be_named_where_there_are_several(tmp_path: Path, scene: str, message: str) -> None:
    root = small.write(tmp_path / "root")
    with pytest.raises(ConfigInvalid, match=message) as caught:
        read_drive(root, scene=scene)
    assert "v1.0-mini/scene-0001, v1.0-mini/scene-0002" in caught.value.hint


def test_a_scene_of_two_versions_is_named_with_its_version(tmp_path: Path) -> None:
    root = small.write(tmp_path / "root")
    shutil.copytree(root / small.VERSION, root / "v1.0-trainval")
    with pytest.raises(ConfigInvalid, match="2 scenes have the name"):
        read_drive(root, scene="scene-0002")
    assert len(read_drive(root, scene="v1.0-trainval/scene-0002").frames) == 1


def test_other_formats_have_no_scenes(tmp_path: Path) -> None:
    (tmp_path / "drive.json").write_text("{}")
    with pytest.raises(ConfigInvalid, match="has no scenes"):
        read_drive(tmp_path, scene="scene-0001")


def test_without_the_lidar_files_the_images_are_still_a_drive(tmp_path: Path) -> None:
    root = small.write(tmp_path / "root")
    shutil.rmtree(root / "samples/LIDAR_TOP")
    drive = read_drive(root, **SCENE)
    assert drive.lidar_format == ""
    assert len(drive.frames) == 3


def test_without_lidar_records_the_nearest_image_places_the_frame(tmp_path: Path) -> None:
    body = small.tables()
    body["sample_data"] = [r for r in body["sample_data"] if "LIDAR" not in r["filename"]]
    drive = read_drive(small.write(tmp_path / "root", body), **SCENE)
    back = next(image for image in drive.frames[0].images if image.camera == "CAM_BACK")
    assert np.array_equal(drive.frames[0].world_from_ego, drive.frames[0].pose_of(back))


def edit(table: str, number: int, **fields: Any) -> Any:
    def change(root: Path) -> None:
        path = root / small.VERSION / f"{table}.json"
        body = json.loads(path.read_text())
        body[number] |= fields
        path.write_text(json.dumps(body))

    return change


def cut(table: str, keep: int) -> Any:
    def change(root: Path) -> None:
        path = root / small.VERSION / f"{table}.json"
        path.write_bytes(path.read_bytes()[:keep])

    return change


V = small.VERSION
NAN = float("nan")
BROKEN = {
    "no ego_pose": (lambda r: (r / V / "ego_pose.json").unlink(), DriveInvalid, "ego_pose.json"),
    "no sensor": (lambda r: (r / V / "sensor.json").unlink(), DriveInvalid, "sensor.json"),
    "no scene": (lambda r: (r / V / "scene.json").unlink(), DriveInvalid, "scene.json"),
    "table cut off": (cut("ego_pose", 400), DriveInvalid, "ego_pose.json, row 1"),
    "table of words": (lambda r: (r / V / "sample.json").write_text('["a"]'), DriveInvalid, "sample.json, row 0"),
    "table is no list": (lambda r: (r / V / "sample.json").write_text("{}"), DriveInvalid, "sample.json"),
    "table in no encoding": (lambda r: (r / V / "log.json").write_bytes(b"[\xff\xfe]"), DriveInvalid, "log.json"),
    "pose not finite": (edit("ego_pose", 1, translation=[NAN, 0, 0]), PoseInvalid, "ego_pose.json, row 1"),
    "pose too short": (edit("ego_pose", 0, rotation=[1, 0, 0]), PoseInvalid, "ego_pose.json, row 0"),
    "pose in words": (edit("ego_pose", 0, rotation=["a"] * 4), PoseInvalid, "ego_pose.json, row 0"),
    "no unit quaternion": (edit("ego_pose", 2, rotation=[1, 1, 0, 0]), PoseInvalid, "ego_pose.json, row 2"),
    "pose token": (edit("sample_data", 1, ego_pose_token="lost"), DriveInvalid, "sample_data.json, row 1"),
    "sensor token": (edit("calibrated_sensor", 1, sensor_token="lost"), DriveInvalid, "calibrated_sensor.json, row 1"),
    "calibration token": (edit("sample_data", 2, calibrated_sensor_token="lost"), DriveInvalid, "sample_data.json, row 2"),
    "log token": (edit("scene", 0, log_token="lost"), DriveInvalid, "scene.json, row 0"),
    "token twice": (edit("sample", 1, token="scene-0001-0"), DriveInvalid, "sample.json, row 1"),
    "time in words": (edit("sample", 0, timestamp="noon"), DriveInvalid, "sample.json, row 0"),
    "no sample": (edit("scene", 0, token="other"), DriveEmpty, "scene.json, row 0"),
    "nothing recorded": (lambda r: (r / V / "sample_data.json").write_text("[]"), DriveInvalid, "sample.json, row 0"),
    "no intrinsics": (edit("calibrated_sensor", 0, camera_intrinsic=[]), CalibrationMissing, "calibrated_sensor.json, row 0"),
    "no focal length": (edit("calibrated_sensor", 0, camera_intrinsic=np.diag([-9.0, 9, 1]).tolist()), CalibrationMissing, "calibrated_sensor.json, row 0"),
    "mount not finite": (edit("calibrated_sensor", 2, translation=[NAN, 0, 0]), CalibrationMissing, "calibrated_sensor.json, row 2"),
    "recorded twice": (edit("sample_data", 1, calibrated_sensor_token="calib-CAM_FRONT"), DriveInvalid, "sample.json, row 0"),
    "path out of the root": (edit("sample_data", 0, filename="../a.jpg"), RoadscribeError, "sample scene-0001-0"),
    "missing image": (lambda r: min((r / "samples/CAM_BACK").iterdir()).unlink(), ImageInvalid, "sample scene-0001-0, samples/CAM_BACK"),
    "truncated image": (lambda r: (p := min((r / "samples/CAM_FRONT").iterdir())).write_bytes(p.read_bytes()[:-30]), ImageInvalid, "sample scene-0001-0, samples/CAM_FRONT"),
    "image of another size": (edit("sample_data", 0, width=31), ImageInvalid, "samples/CAM_FRONT"),
    "truncated sweep": (lambda r: (p := min((r / "samples/LIDAR_TOP").iterdir())).write_bytes(p.read_bytes()[:-4]), DriveInvalid, "samples/LIDAR_TOP"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_tables_are_named(tmp_path: Path, case: str) -> None:
    change, kind, where = BROKEN[case]
    root = small.write(tmp_path / "root")
    assert find_problems(root, **SCENE) == []
    change(root)
    found = find_problems(root, **SCENE)
    assert any(isinstance(problem, kind) and where in problem.where for problem in found), [str(p) for p in found]
    with pytest.raises(RoadscribeError) as caught:
        read_drive(root, **SCENE)
    assert caught.value.record() == found[0].record()


def test_a_sensor_calibrated_twice_in_a_scene_is_refused(tmp_path: Path) -> None:
    body = small.tables()
    body["calibrated_sensor"].append({**body["calibrated_sensor"][0], "token": "again"})
    next(r for r in body["sample_data"][1:] if "CAM_FRONT" in r["filename"])["calibrated_sensor_token"] = "again"
    with pytest.raises(CalibrationMissing, match="CAM_FRONT has two calibrations"):
        read_drive(small.write(tmp_path / "root", body), **SCENE)


@given(
    body=st.lists(st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=4), max_size=3)),
    indent=st.sampled_from([None, 0, 1]),
    chunk=st.integers(1, 40),
)
@settings(max_examples=150, deadline=None)
def test_rows_in_chunks_equal_the_whole_table(
    tmp_path_factory, body: list[Any], indent: int | None, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("table")
    (folder / "a.json").write_text(json.dumps(body, indent=indent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_tables, "CHUNK", chunk)
        assert [row.fields for row in rows(folder, "a.json")] == body


@pytest.mark.data
@pytest.mark.slow
def test_the_devkit_reads_the_real_keyframe_as_we_do() -> None:
    root = real_data("nuscenes")
    drive = read_drive(root)
    (keyframe,) = devkit_drive.keyframes(root, "v1.0-mini", 1)["keyframes"]
    assert np.allclose(drive.frames[0].world_from_ego, devkit_drive.rigid(keyframe["pose"]), atol=1e-9)
    for image in drive.frames[0].images:
        record, camera = keyframe["cameras"][image.camera], drive.camera(image.camera)
        assert Path(record["path"]) == root / image.path
        assert np.allclose(np.array(record["k"])[:2, 2] + 0.5, camera.k[:2, 2])
        assert np.allclose(camera.ego_from_camera, devkit_drive.rigid(record["mount"]), atol=1e-9)


@pytest.mark.data
def test_the_real_keyframe_is_read() -> None:
    root = real_data("nuscenes")
    drive = read_drive(root)
    assert drive.name == "scene-0061"
    assert len(drive.images()) == 6
    frame = drive.frames[0]
    assert frame.world_from_ego[2, 3] == 0.0
    # The ego frame lies on the ground: so does the road ahead, by LiDAR.
    assert drive.ego_from_lidar is not None
    points = decode_sweep((root / frame.lidar_path).read_bytes(), drive.lidar_format, where="")
    points = apply(drive.ego_from_lidar, points)
    near = (np.abs(points[:, 1]) < 1.5) & (points[:, 0] > 4) & (points[:, 0] < 12)
    assert abs(float(np.median(points[near, 2]))) < 0.05
    assert find_problems(root, scene="v1.0-mini/scene-0061", sweeps=True) == []
