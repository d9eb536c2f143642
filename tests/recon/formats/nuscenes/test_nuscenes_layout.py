"""A drive written in nuScenes' layout and read back by our reader."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_drive
from scipy.spatial.transform import Rotation

from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import DriveInvalid
from recon.formats.nuscenes.nuscenes_layout import write_nuscenes
from recon.formats.read_drive import find_problems, read_drive
from recon.geometry import transform
from recon.sensors.lidar import world_points

CAMERAS = ("CAM_FRONT", "CAM_BACK")


def build(folder: Path, *, keyframes: int = 3, ground_z_ego_m: float = 0.0) -> DriveLog:
    """Write images and LiDAR of a drive with awkward poses; every second frame is none of the keyframes."""
    rng = np.random.default_rng(9)
    folder.mkdir()
    cameras = tuple(
        Camera(name=name, width_px=16, height_px=12, k=np.array([[11.0, 0, 8.3], [0, 12.0, 6.1], [0, 0, 1]]),
               ego_from_camera=transform(Rotation.random(rng=rng).as_matrix(), rng.normal(0, 1, 3)),
               distortion=np.zeros(0))
        for name in CAMERAS
    )  # fmt: skip
    frames = []
    for i in range(2 * keyframes - 1):
        time_ns = 1_700_000_000_000_000_000 + i * 100_000_000
        images = []
        for number, name in enumerate(CAMERAS):
            cv2.imwrite(str(folder / f"{name}{i}.png"), rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
            pose = transform(Rotation.from_rotvec([0.01, 0.02, i]).as_matrix(), [2.0 * i + number, 3.0, 0.5])
            own = {"world_from_ego": pose} if number else {}
            images.append(Image(camera=name, path=f"{name}{i}.png", time_ns=time_ns + 4_000 * number, **own))
        rng.uniform(2, 9, (20, 4)).astype("<f4").tofile(folder / f"{i}.bin")
        pose = transform(Rotation.from_rotvec([0.0, -0.03, i]).as_matrix(), [2.0 * i, 3.0, 0.5])
        frame = Frame(time_ns=time_ns, world_from_ego=pose, images=tuple(images), lidar_path=f"{i}.bin")
        frames.append(replace(frame, keyframe=i % 2 == 0))
    return DriveLog(name="small", root=folder, cameras=cameras, frames=tuple(frames), ground_z_ego_m=ground_z_ego_m,
                    lidar_format="f32x4", ego_from_lidar=transform(np.eye(3), (0.9, 0.0, 1.8)))  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    drive = build(tmp_path / "drive")
    write_nuscenes(drive, tmp_path / "root", version="v1.0-test", location="nowhere", expansion={"version": "1.3"})
    again = read_drive(tmp_path / "root", sweeps=True)
    assert again.name == "small"
    assert again.true_map == "maps/expansion/nowhere.json"
    assert [f.time_ns for f in again.frames] == [f.time_ns for f in drive.frames]
    assert [f.keyframe for f in again.frames] == [True, False, True, False, True]
    for name in CAMERAS:
        before, after = drive.camera(name), again.camera(name)
        assert np.allclose(after.k, before.k, atol=1e-12)
        assert np.allclose(after.ego_from_camera, before.ego_from_camera, atol=1e-12)
    for before, after in zip(drive.frames, again.frames, strict=True):
        assert np.allclose(after.world_from_ego, before.world_from_ego, atol=1e-12)
        old = {image.camera: image for image in before.images}
        for image in after.images:
            assert np.allclose(after.pose_of(image), before.pose_of(old[image.camera]), atol=1e-12)
            assert (again.root / image.path).read_bytes() == (drive.root / old[image.camera].path).read_bytes()
    assert np.allclose(world_points(again, max_range_m=50), world_points(drive, max_range_m=50))
    assert find_problems(tmp_path / "root") == []


def test_the_ego_frame_moves_to_the_ground(tmp_path: Path) -> None:
    drive = build(tmp_path / "drive", ground_z_ego_m=-0.9)
    write_nuscenes(drive, tmp_path / "root", version="v1.0-test", location="nowhere")
    again = read_drive(tmp_path / "root", sweeps=True)
    assert again.ground_z_ego_m == 0.0
    first = drive.frames[0]
    assert np.allclose(again.frames[0].world_from_ego[:3, 3], (first.world_from_ego @ [0, 0, -0.9, 1])[:3])
    for image in again.frames[0].images:
        old = next(i for i in first.images if i.camera == image.camera)
        found = again.frames[0].pose_of(image) @ again.camera(image.camera).ego_from_camera
        assert np.allclose(found, first.pose_of(old) @ drive.camera(image.camera).ego_from_camera, atol=1e-9)


def test_records_are_chained_as_the_format_asks(tmp_path: Path) -> None:
    write_nuscenes(build(tmp_path / "drive"), tmp_path / "root", version="v1.0-test", location="nowhere")
    data = json.loads((tmp_path / "root/v1.0-test/sample_data.json").read_bytes())
    rows = {row["token"]: row for row in data}
    for row in data:
        for there, back in (("next", "prev"), ("prev", "next")):
            if row[there]:
                assert rows[row[there]][back] == row["token"]
                assert rows[row[there]]["calibrated_sensor_token"] == row["calibrated_sensor_token"]
    assert sum(not row["prev"] for row in data) == sum(not row["next"] for row in data) == 3  # one chain a sensor


def test_equal_drives_give_equal_tables(tmp_path: Path) -> None:
    drive = build(tmp_path / "drive")
    for name in ("a", "b"):
        write_nuscenes(drive, tmp_path / name, version="v1.0-test", location="nowhere")
    for path in (tmp_path / "a").rglob("*.json"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_distorted_images_are_refused(tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path / "drive"))
    with pytest.raises(DriveInvalid, match="cannot hold lens distortion"):
        write_nuscenes(drive, tmp_path / "root", version="v1.0-test", location="nowhere")
    assert not (tmp_path / "root").exists()


def test_a_drive_of_nothing_is_refused(tmp_path: Path) -> None:
    drive = replace(build(tmp_path / "drive"), frames=())
    with pytest.raises(DriveInvalid, match="no keyframe"):
        write_nuscenes(drive, tmp_path / "root", version="v1.0-test", location="nowhere")
