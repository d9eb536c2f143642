"""Argoverse 2: frames, poses and calibration of a small log and of real ones, and what happens when a file is broken."""
# ruff: noqa: E501 - the cases are a table

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import small_argoverse2 as small
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import real_data

from recon.errors import CalibrationMissing, DriveEmpty, DriveInvalid, ImageInvalid, PoseInvalid, RoadscribeError
from recon.formats.argoverse2.city_frame import (
    CITIES,
    degrees_from_utm,
    place_world,
    read_ground_height,
    utm_from_degrees,
)
from recon.formats.argoverse2.pose_table import read_poses
from recon.formats.frame_images import images_of_frames
from recon.formats.read_drive import find_problems, read_drive
from recon.geometry import apply, invert
from recon.sensors.lidar import world_points
from recon.sensors.sweep import decode_sweep


def test_a_log_is_read_with_one_frame_a_sweep(tmp_path: Path) -> None:
    drive = read_drive(small.write(tmp_path))
    assert [camera.name for camera in drive.cameras] == list(small.CAMERAS)
    with_lidar = [frame for frame in drive.frames if frame.lidar_path]
    assert [frame.time_ns for frame in with_lidar] == small.sweep_times()
    assert all(len(frame.images) == 2 and frame.keyframe for frame in with_lidar)
    assert drive.ground_z_ego_m == pytest.approx(small.GROUND_Z_M, abs=0.01)
    assert drive.true_map.startswith("map/log_map_archive_")
    assert len(world_points(drive, max_range_m=60)) == 30 * small.SWEEPS


def test_each_image_keeps_its_own_time_and_pose(tmp_path: Path) -> None:
    drive = read_drive(small.write(tmp_path))
    for frame in drive.frames:
        for image in frame.images:
            assert image.time_ns - frame.time_ns == small.LATE_NS
            ahead = apply(invert(frame.world_from_ego), frame.pose_of(image)[:3, 3])
            assert ahead == pytest.approx([small.SPEED_M_S * small.LATE_NS * 1e-9, 0, 0], abs=1e-6)


def test_images_are_undistorted_pinholes_counted_from_the_corner(tmp_path: Path) -> None:
    camera = read_drive(small.write(tmp_path)).cameras[0]
    assert camera.distortion.size == 0
    assert camera.k[0, 2] == 16.0
    assert camera.k[1, 2] == 12.0
    assert camera.ego_from_camera[:3, 2] == pytest.approx([1, 0, 0])  # looks ahead


def test_the_world_is_east_north_up_at_the_first_pose(tmp_path: Path) -> None:
    drive = read_drive(small.write(tmp_path))
    zone, latitude, longitude = CITIES["PIT"]
    grid = utm_from_degrees(latitude, longitude, zone) + np.array(small.ZERO_M[:2])
    assert drive.origin is not None
    assert utm_from_degrees(drive.origin.latitude_deg, drive.origin.longitude_deg, zone) == pytest.approx(
        grid, abs=1e-3
    )
    # East of its zone's middle the grid's x axis points south of east; 0.65 degrees there.
    last = drive.frames[-1].world_from_ego
    assert np.degrees(np.arctan2(last[1, 0], last[0, 0])) == pytest.approx(-0.654, abs=0.01)
    expected = degrees_from_utm(grid + small.position(drive.frames[-1].time_ns)[:2] - np.array(small.ZERO_M[:2]), zone)
    assert np.abs(drive.origin.to_degrees(last[:2, 3]) - expected).max() * 111_000 < 0.003


@given(st.sampled_from(sorted(CITIES)), st.floats(-20_000, 20_000), st.floats(-20_000, 20_000))
@settings(max_examples=50, deadline=None)
def test_utm_and_degrees_undo_each_other(city: str, x: float, y: float) -> None:
    zone, latitude, longitude = CITIES[city]
    utm = utm_from_degrees(latitude, longitude, zone) + np.array([x, y])
    lon, lat = degrees_from_utm(utm, zone)
    assert utm_from_degrees(float(lat), float(lon), zone) == pytest.approx(utm, abs=1e-3)


def test_utm_agrees_with_proj() -> None:
    # pyproj.Proj(proj="utm", zone=17, ellps="WGS84") of Pittsburgh's origin
    found = utm_from_degrees(40.44177902989321, -80.01294377242584, 17)
    assert found == pytest.approx([583710.0070315006, 4477259.999832617], abs=1e-3)


def test_an_unknown_city_keeps_its_axes_and_has_no_origin() -> None:
    world_from_city, origin = place_world("XYZ", np.array([10.0, 20.0, 3.0]))
    assert origin is None
    assert apply(world_from_city, np.array([11.0, 20.0, 3.0])) == pytest.approx([1, 0, 0])


def test_a_log_without_images_says_what_it_is_good_for(tmp_path: Path) -> None:
    root = small.write(tmp_path, images=False)
    (problem,) = find_problems(root)
    assert type(problem) is DriveEmpty
    assert "sensors/cameras" in problem.hint
    assert "5 LiDAR sweeps and the true map" in problem.hint
    drive = read_drive(root, images_required=False)
    assert drive.cameras == ()
    assert len(world_points(drive, max_range_m=60)) == 30 * small.SWEEPS


def test_where_sweeps_are_missing_the_poses_fill_the_path(tmp_path: Path) -> None:
    root = small.write(tmp_path)
    for time_ns in small.sweep_times()[1:4]:
        (root / f"sensors/lidar/{time_ns}.feather").unlink()
    drive = read_drive(root)
    assert [frame.time_ns for frame in drive.frames if frame.images] == small.sweep_times()
    assert sum(bool(frame.lidar_path) for frame in drive.frames) == 2
    shutil.rmtree(root / "sensors")
    bare = read_drive(root, images_required=False)
    assert len(bare.frames) == 7
    assert not any(frame.keyframe for frame in bare.frames)
    assert bare.lidar_format == ""


def test_without_ground_height_the_axle_height_stands_in(tmp_path: Path) -> None:
    root = small.write(tmp_path)
    ground = read_ground_height(root)
    assert ground is not None
    height, known = ground.at(np.array([small.ZERO_M[:2], (0.0, 0.0)]))
    assert known.tolist() == [True, False]
    assert height[0] == pytest.approx(small.ZERO_M[2] + small.GROUND_Z_M, abs=0.01)
    next(root.glob("map/*.npy")).unlink()
    assert read_drive(root).ground_z_ego_m == -0.33


@given(st.lists(st.integers(0, 10_000), unique=True), st.lists(st.integers(0, 10_000), unique=True, min_size=1))
@settings(max_examples=200, deadline=None)
def test_images_are_shared_out_as_by_the_obvious_search(images: list[int], frames: list[int]) -> None:
    images, frames, reach = sorted(images), sorted(frames), 300
    taken = images_of_frames(np.array(images, dtype=np.int64), np.array(frames, dtype=np.int64), reach_ns=reach)
    nearest: dict[int, list[int]] = {}
    for image in images:
        nearest.setdefault(min(range(len(frames)), key=lambda i: abs(frames[i] - image)), []).append(image)
    best = {i: min(mine, key=lambda t: abs(frames[i] - t)) for i, mine in nearest.items()}
    assert taken == {i: image for i, image in best.items() if abs(frames[i] - image) <= reach}


def rewrite(path: Path, columns: dict[str, object], **changes: object) -> None:
    small.table(path, {key: value for key, value in (columns | changes).items() if value is not None})


def pose_column(name: str, row: int, value: float) -> list[float]:
    column = list(np.array(small.poses()[name], dtype=np.float64))
    column[row] = value
    return column


def first(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


P, K, E = "city_SE3_egovehicle.feather", "calibration/intrinsics.feather", "calibration/egovehicle_SE3_sensor.feather"
BROKEN = {
    "pose not finite": (lambda r: rewrite(r / P, small.poses(), tx_m=pose_column("tx_m", 4, float("nan"))), PoseInvalid, f"{P}, row 4"),
    "pose empty": (lambda r: rewrite(r / P, small.poses(), qw=[None] + [1.0] * (small.POSES - 1)), PoseInvalid, f"{P}, row 0"),
    "no unit quaternion": (lambda r: rewrite(r / P, small.poses(), qw=pose_column("qw", 7, 0.9)), PoseInvalid, f"{P}, row 7"),
    "column missing": (lambda r: rewrite(r / P, small.poses(), qz=None), PoseInvalid, P),
    "column of truth values": (lambda r: rewrite(r / P, small.poses(), qz=[True] * small.POSES), PoseInvalid, P),
    "no row": (lambda r: small.table(r / P, {k: pa.array(v)[:0] for k, v in small.poses().items()}), PoseInvalid, P),
    "time stands still": (lambda r: rewrite(r / P, small.poses(), timestamp_ns=pa.array([small.START_NS] * small.POSES, pa.int64())), PoseInvalid, f"{P}, row 1"),
    "no feather": (lambda r: (r / P).write_bytes(b"timestamp_ns"), PoseInvalid, P),
    "truncated table": (lambda r: (r / P).write_bytes((r / P).read_bytes()[:900]), PoseInvalid, P),
    "no intrinsics": (lambda r: (r / K).unlink(), CalibrationMissing, K),
    "no extrinsics": (lambda r: (r / E).unlink(), CalibrationMissing, E),
    "uncalibrated camera": (lambda r: rewrite(r / K, small.intrinsics(), sensor_name=["ring_front_center", "other"]), CalibrationMissing, K),
    "no focal length": (lambda r: rewrite(r / K, small.intrinsics(), fx_px=[20.0, 0.0]), CalibrationMissing, f"{K}, row 1"),
    "camera turned wrongly": (lambda r: rewrite(r / E, small.extrinsics(), qw=[0.5, 0.9, 0.5]), CalibrationMissing, f"{E}, row 1"),
    "sweep without z": (lambda r: small.table(first(r, "sensors/lidar/*"), {"x": [1.0], "y": [2.0]}), DriveInvalid, "sensors/lidar/"),
    "sweep not finite": (lambda r: small.table(first(r, "sensors/lidar/*"), {"x": [1.0], "y": [2.0], "z": [float("inf")]}), DriveInvalid, ".feather, row 0"),
    "empty sweep": (lambda r: small.table(first(r, "sensors/lidar/*"), {a: pa.array([], pa.float32()) for a in "xyz"}), DriveInvalid, "sensors/lidar/"),
    "sweep without a time": (lambda r: first(r, "sensors/lidar/*").rename(r / "sensors/lidar/first.feather"), DriveInvalid, "first.feather"),
    "sweep before the poses": (lambda r: first(r, "sensors/lidar/*").rename(r / "sensors/lidar/5.feather"), PoseInvalid, "sensors/lidar/5.feather"),
    "truncated image": (lambda r: (p := r / f"sensors/cameras/ring_rear_left/{small.image_times()[0]}.jpg").write_bytes(p.read_bytes()[:-40]), ImageInvalid, f"sweep {small.sweep_times()[0]}, sensors/cameras/ring_rear_left"),
    "two maps": (lambda r: (r / "map/log_map_archive_b____MIA_city_1.json").write_text("{}"), DriveInvalid, "/map"),
    "raster of objects": (lambda r: np.save(first(r, "map/*.npy"), np.array([{}])), DriveInvalid, "ground_height"),
    "truncated raster": (lambda r: (p := first(r, "map/*.npy")).write_bytes(p.read_bytes()[:200]), DriveInvalid, "ground_height"),
    "raster without a frame": (lambda r: first(r, "map/*img_Sim2_city.json").unlink(), DriveInvalid, "ground_height"),
    "raster frame not finite": (lambda r: first(r, "map/*img_Sim2_city.json").write_text('{"R": [1, 0, 0, 1], "t": [NaN, 0], "s": 1}'), DriveInvalid, "img_Sim2_city"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path: Path, case: str) -> None:
    change, kind, where = BROKEN[case]
    root = small.write(tmp_path)
    assert find_problems(root) == []
    change(root)
    found = find_problems(root)
    assert any(type(problem) is kind and where in problem.where for problem in found), [str(p) for p in found]
    with pytest.raises(RoadscribeError) as caught:
        read_drive(root)
    assert caught.value.record() == found[0].record()


def test_a_gap_in_the_poses_is_not_bridged(tmp_path: Path) -> None:
    root = small.write(tmp_path)
    kept = [i for i in range(small.POSES) if not 12 < i < 40]
    small.table(root / P, {name: pa.array(column).take(pa.array(kept)) for name, column in small.poses().items()})
    found = find_problems(root)
    assert {type(problem) for problem in found} == {PoseInvalid}
    assert "gap of 0.28 s" in str(found[0])


LOGS = ("7fab2350-7eaf-3b7e-a39d-6937a4c1bede", "adcf7d18-0510-35b0-a2fa-b4cea13a6d76")


@pytest.mark.data
@pytest.mark.parametrize("log", LOGS)
def test_real_sweeps_lie_on_the_ground_height(log: str) -> None:
    root = real_data("argoverse2", "val", log)
    drive = read_drive(root, images_required=False)
    ground, poses = read_ground_height(root), read_poses(root)
    assert ground is not None
    assert drive.ground_z_ego_m == pytest.approx(-0.33, abs=0.05)
    for frame in drive.frames:
        if not frame.lidar_path:
            continue
        points = decode_sweep((root / frame.lidar_path).read_bytes(), "feather", where=log)
        points = apply(poses.at(frame.time_ns, where=log), points[np.linalg.norm(points, axis=1) < 25])
        height, known = ground.at(points[:, :2])
        above = (points[:, 2] - height)[known]
        low = above[np.abs(above) < 0.5]
        assert len(low) > 10_000
        assert abs(float(np.median(low))) < 0.05


@pytest.mark.data
@pytest.mark.parametrize("log", LOGS)
def test_a_real_path_is_whole_and_drives_where_it_points(log: str) -> None:
    drive = read_drive(real_data("argoverse2", "val", log), images_required=False)
    assert len(drive.frames) == 159
    poses = np.array([frame.world_from_ego for frame in drive.frames])
    step = poses[10:, :2, 3] - poses[:-10, :2, 3]
    moved = np.linalg.norm(step, axis=1) > 2.0
    heading = poses[5:-5, :2, 0][moved]
    cosine = (step[moved] / np.linalg.norm(step[moved], axis=1, keepdims=True) * heading).sum(axis=1)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 8.0  # a turn of the vehicle lies within one second
