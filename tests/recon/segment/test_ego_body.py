"""The ego body is found where it is certain, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from real_data import kitti

from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import ImageInvalid
from recon.formats.read_drive import read_drive
from recon.geometry import transform
from recon.segment.ego_body import find_mask, given_mask

W, H = 96, 64
BODY = np.zeros((H, W), bool)
cv2.ellipse(BODY.view(np.uint8), (W // 2, H + 6), (40, 22), 0, 0, 360, 1, -1)


def make(folder: Path, *, body: bool, texture: float, step_m: float = 1.0, count: int = 30) -> DriveLog:
    """A camera over a passing ground of grey 90 +- texture under a sky, with or without a dark bonnet in front."""
    generator = np.random.default_rng(2)
    ground = cv2.GaussianBlur(generator.normal(0, 1, (H, 20 * count + W)), (0, 0), 2.0)
    ground *= texture / ground.std()
    frames = []
    for i in range(count):
        gray = 90 + ground[:, round(20 * i * min(step_m, 1.0)) :][:, :W] + generator.normal(0, 1, (H, W))
        gray[: H // 3] += 100
        if body:
            gray[BODY] = 30 + generator.normal(0, 1, BODY.sum())
        cv2.imwrite(str(folder / f"{i}.png"), gray.clip(0, 255).astype(np.uint8))
        pose = transform(np.eye(3), (i * step_m, 0, 0))
        frames.append(
            Frame(time_ns=i, world_from_ego=pose, images=(Image(camera="front", path=f"{i}.png", time_ns=i),))
        )
    ego_from_camera = transform([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0, 0, 1.5))
    k = np.array([[80.0, 0, W / 2], [0, 80.0, H / 2], [0, 0, 1]])
    camera = Camera(name="front", width_px=W, height_px=H, k=k, ego_from_camera=ego_from_camera, distortion=np.zeros(0))
    return DriveLog(name="passing", root=folder, cameras=(camera,), frames=tuple(frames))


def test_a_bonnet_is_found(tmp_path: Path) -> None:
    drive = make(tmp_path, body=True, texture=15.0)
    mask = find_mask(drive, drive.cameras[0])
    assert mask is not None
    assert mask[BODY].mean() > 0.97
    # Only the widened rim may lie outside.
    assert not mask[~cv2.dilate(BODY.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)].any()


@pytest.mark.parametrize("texture", [15.0, 4.0, 1.0, 0.1])
def test_a_dull_road_is_no_ego_body(tmp_path: Path, texture: float) -> None:
    drive = make(tmp_path, body=False, texture=texture)
    assert find_mask(drive, drive.cameras[0]) is None


def test_a_standing_vehicle_tells_nothing(tmp_path: Path) -> None:
    drive = make(tmp_path, body=True, texture=15.0, step_m=0.05)
    assert find_mask(drive, drive.cameras[0]) is None


def test_a_damaged_given_mask_is_refused(tmp_path: Path) -> None:
    import small_drive

    drive = read_drive(small_drive.write(tmp_path))
    mask = given_mask(drive, drive.cameras[0])
    assert mask is not None
    assert mask[-4:].all()
    assert not mask[:-4].any()
    (tmp_path / "front_mask.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageInvalid):
        given_mask(drive, drive.cameras[0])


@pytest.mark.data
def test_kittis_road_is_not_masked() -> None:
    drive = read_drive(kitti())
    assert [find_mask(drive, camera) for camera in drive.cameras] == [None, None]
