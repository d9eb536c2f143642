"""The DriveLog artifact keeps everything, and its digest follows the files it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_drive

from recon import artifact
from recon.drive import DriveLog
from recon.formats.read_drive import read_drive


@pytest.fixture
def drive(tmp_path: Path) -> DriveLog:
    return read_drive(small_drive.write(tmp_path / "drive"))


def test_an_artifact_reads_back_equal(drive: DriveLog, tmp_path: Path) -> None:
    first = artifact.write(drive, tmp_path / "a")
    back = artifact.read(DriveLog, tmp_path / "a")
    assert artifact.write(back, tmp_path / "b").digest == first.digest
    assert [i.sha256 for _, _, i in back.images()] == [i.sha256 for _, _, i in drive.images()]
    assert dict(back.file_sha256) == dict(drive.file_sha256)


@pytest.mark.parametrize("name", ["front/2.png", "ids/rear_1.png", "lidar/3.bin", "front_mask.png", "drive.json"])
def test_a_changed_file_changes_the_digest(drive: DriveLog, tmp_path: Path, name: str) -> None:
    before = artifact.write(drive, tmp_path / "a").digest
    path = drive.root / name
    if name == "drive.json":
        path.write_text(path.read_text().replace('"name": "small"', '"name": "other"'))
    else:
        other = {"front/2.png": "front/1.png", "ids/rear_1.png": "ids/rear_2.png", "lidar/3.bin": "lidar/1.bin"}
        path.write_bytes((drive.root / other.get(name, "ids/front_1.png")).read_bytes())
    assert artifact.write(read_drive(drive.root), tmp_path / "b").digest != before


def test_an_image_may_have_its_own_pose(drive: DriveLog) -> None:
    frame = drive.frames[1]
    assert np.array_equal(frame.pose_of(frame.images[0]), frame.world_from_ego)
    assert frame.pose_of(frame.images[1])[1, 3] == 0.1


def test_impossible_cameras_are_refused(drive: DriveLog) -> None:
    front = drive.camera("front")
    with pytest.raises(ValueError, match="focal"):
        replace(front, k=np.zeros((3, 3)))
    with pytest.raises(ValueError, match="distortion"):
        replace(front, distortion=np.zeros(3))
    with pytest.raises(ValueError, match="ego_from_camera"):
        replace(front, ego_from_camera=np.full((4, 4), np.nan))
    with pytest.raises(KeyError):
        drive.camera("left")
