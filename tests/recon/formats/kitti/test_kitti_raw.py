"""KITTI raw: poses, calibration chain and time stamps on the real drive, and what happens when a file is broken."""
# ruff: noqa: E501 - the cases are a table

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from real_data import kitti

from recon.drive import DriveLog
from recon.errors import CalibrationMissing, DriveEmpty, DriveInvalid, ImageInvalid, PoseInvalid, RoadscribeError
from recon.formats.read_drive import find_problems, read_drive
from recon.geometry import apply, invert

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def drive() -> DriveLog:
    return read_drive(kitti())


def points_in_ego(drive: DriveLog, index: int) -> np.ndarray:
    raw = np.fromfile(drive.root / drive.frames[index].lidar_path, "<f4").reshape(-1, 4)
    assert drive.ego_from_lidar is not None
    return apply(drive.ego_from_lidar, raw[:, :3].astype(np.float64))


def test_the_whole_drive_is_read(drive: DriveLog) -> None:
    assert [camera.name for camera in drive.cameras] == ["image_02", "image_03"]
    assert len(drive.frames) == 108
    assert len(drive.images()) == 216
    assert sum(bool(frame.lidar_path) for frame in drive.frames) == 27
    assert drive.frames[0].time_ns == 1_317_042_145_964_000_000
    assert all(len(image.sha256) == 64 for _, _, image in drive.images())


def test_path_length_agrees_with_the_wheels(drive: DriveLog) -> None:
    rows = [(drive.root / f"oxts/data/{i:010d}.txt").read_text().split() for i in range(108)]
    speed = np.array([float(row[8]) for row in rows])
    seconds = np.array([frame.time_ns for frame in drive.frames]) * 1e-9
    driven_m = float(np.trapezoid(speed, seconds))
    path_m = float(np.linalg.norm(np.diff(drive.path_xy_m(), axis=0), axis=1).sum())
    assert path_m == pytest.approx(driven_m, rel=0.005)


def test_the_vehicle_drives_where_it_points(drive: DriveLog) -> None:
    poses = np.array([frame.world_from_ego for frame in drive.frames])
    step = poses[10:, :2, 3] - poses[:-10, :2, 3]
    step /= np.linalg.norm(step, axis=1, keepdims=True)
    heading = poses[5:-5, :2, 0]
    assert np.abs(np.degrees(np.arccos((step * heading).sum(axis=1).clip(-1, 1)))).max() < 3.0


def test_origin_gives_back_the_recorded_positions(drive: DriveLog) -> None:
    assert drive.origin is not None
    last = (drive.root / "oxts/data/0000000107.txt").read_text().split()
    lonlat = drive.origin.to_degrees(drive.path_xy_m()[-1])
    assert np.allclose(lonlat, (float(last[1]), float(last[0])), atol=1e-9)


def test_the_stereo_pair_is_rectified(drive: DriveLog) -> None:
    left, right = drive.cameras
    right_from_left = invert(right.ego_from_camera) @ left.ego_from_camera
    assert np.allclose(right_from_left[:3, :3], np.eye(3), atol=1e-6)  # the files hold seven digits
    assert right_from_left[0, 3] == pytest.approx(-0.5327, abs=0.002)  # published baseline of the colour pair
    assert np.abs(right_from_left[1:3, 3]).max() < 0.01
    # The camera looks along the vehicle, 1.65 m above the road.
    assert left.ego_from_camera[0, 2] > 0.999
    assert left.ego_from_camera[2, 3] - drive.ground_z_ego_m == pytest.approx(1.65, abs=0.05)


def test_the_road_lies_where_ground_z_says(drive: DriveLog) -> None:
    heights = []
    for index in range(0, 108, 12):
        points = points_in_ego(drive, index)
        near = (np.abs(points[:, 1]) < 1.5) & (points[:, 0] > 4) & (points[:, 0] < 10)
        heights.append(np.median(points[near, 2]))
    assert abs(float(np.median(heights)) - drive.ground_z_ego_m) < 0.1


@pytest.mark.parametrize("index", [0, 40, 80])
def test_lidar_edges_meet_image_edges(drive: DriveLog, index: int) -> None:
    """Depth steps of the LiDAR must fall on strong image gradients more often than when the chain is turned by a degree."""
    camera = drive.camera("image_02")
    image = cv2.imread(str(drive.root / f"image_02/data/{index:010d}.png"), cv2.IMREAD_GRAYSCALE).astype(np.float64)
    gradient = cv2.GaussianBlur(np.abs(cv2.Sobel(image, cv2.CV_64F, 1, 0)), (0, 0), 1.0)
    points = apply(invert(camera.ego_from_camera), points_in_ego(drive, index))
    depth = np.linalg.norm(points, axis=1)
    # Neighbours in the file are neighbours in a scan line; the nearer side of a step is the object's rim.
    rim = np.r_[False, depth[:-1] - depth[1:] > 0.8] | np.r_[depth[1:] - depth[:-1] > 0.8, False]
    points = points[rim & (points[:, 2] > 2)]

    def score(yaw_deg: float) -> float:
        turn = cv2.Rodrigues(np.array([0.0, np.radians(yaw_deg), 0.0]))[0]
        pixels = (points @ turn.T) @ camera.k.T
        u, v = (pixels[:, :2] / pixels[:, 2:]).T
        inside = (u > 3) & (u < camera.width_px - 3) & (v > 3) & (v < camera.height_px - 3)
        return float(gradient[v[inside].astype(int), u[inside].astype(int)].mean())

    assert score(0.0) > max(score(-1.5), score(1.5))


def copy_part(folder: Path, frames: int = 5) -> Path:
    source = kitti()
    target = folder / source.name
    for calibration in source.parent.glob("calib_*.txt"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(calibration, folder / calibration.name)
    for sensor, suffix in (("oxts", "txt"), ("image_02", "png"), ("velodyne_points", "bin")):
        (target / sensor / "data").mkdir(parents=True)
        shutil.copyfile(source / sensor / "timestamps.txt", target / sensor / "timestamps.txt")
        for i in range(frames):
            name = f"{sensor}/data/{i:010d}.{suffix}"
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
    return target


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BROKEN = {
    "no calibration": (lambda d: (d.parent / "calib_velo_to_cam.txt").unlink(), CalibrationMissing, "calib_velo_to_cam"),
    "no projection": (
        lambda d: edit(d.parent / "calib_cam_to_cam.txt", "P_rect_02", "P_xxxx_02"), CalibrationMissing, "calib_cam_to_cam",
    ),
    "images scaled alone": (
        lambda d: edit(d.parent / "calib_cam_to_cam.txt", "S_rect_02: 3.97", "S_rect_02: 1.24"),
        CalibrationMissing, "image_02",
    ),
    "NaN pose": (
        lambda d: edit(d / "oxts/data/0000000003.txt", "49.0", "nan 49.0"), PoseInvalid, "frame 0000000003",
    ),
    "cut pose": (lambda d: (d / "oxts/data/0000000003.txt").write_text("49.0 8.4"), PoseInvalid, "frame 0000000003"),
    "pose in words": (lambda d: (d / "oxts/data/0000000003.txt").write_text("a b"), PoseInvalid, "frame 0000000003"),
    "time stamp": (
        lambda d: edit(d / "oxts/timestamps.txt", "2011-09-26 13:02:26.174", "yesterday"), DriveInvalid, "line 3",
    ),
    "too few time stamps": (
        lambda d: (d / "image_02/timestamps.txt").write_text("2011-09-26 13:02:25.964000000\n"),
        DriveInvalid, "frame 0000000001",
    ),
    "missing image": (
        lambda d: (d / "image_02/data/0000000002.png").unlink(), ImageInvalid, "frame 0000000002, image_02/data/",
    ),
    "no poses": (lambda d: [p.unlink() for p in (d / "oxts/data").iterdir()], DriveEmpty, "sync"),
    "no images": (lambda d: shutil.rmtree(d / "image_02"), DriveEmpty, "sync"),
    "empty image folder": (lambda d: [p.unlink() for p in (d / "image_02/data").iterdir()], DriveEmpty, "sync"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named(tmp_path: Path, case: str) -> None:
    change, kind, where = BROKEN[case]
    folder = copy_part(tmp_path / "day")
    assert find_problems(folder) == []
    change(folder)
    found = find_problems(folder)
    assert any(type(problem) is kind and where in problem.where for problem in found), [str(p) for p in found]
    with pytest.raises(RoadscribeError) as caught:
        read_drive(folder)
    assert caught.value.record() == found[0].record()
