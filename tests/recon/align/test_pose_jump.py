"""A jump is named by its frames; driving, however hard, is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon.align.pose_jump import pose_jump
from recon.config import FitConfig
from recon.drive import DriveLog, Frame
from recon.errors import PoseInvalid
from recon.fit.fit import fit
from recon.views.views import Trip


def driven(x_m: np.ndarray, step_s: float) -> DriveLog:
    """Return a drive along x that is at these places, one every `step_s`."""
    frames = []
    for i, x in enumerate(x_m):
        pose = np.eye(4)
        pose[0, 3] = x
        frames.append(Frame(time_ns=int(i * step_s * 1e9), world_from_ego=pose, images=()))
    return DriveLog(name="x", root=Path(), cameras=(), frames=tuple(frames))


def test_driving_is_no_jump(tmp_path: Path) -> None:
    assert pose_jump(world.write_drive(tmp_path)[0], 1.0) == ""
    braking = driven(np.array([20.0 * t - 2.0 * t * t for t in range(6)]), 1.0)
    assert pose_jump(braking, 1.0) == ""


@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_a_jump_is_named_by_its_frames(at: int) -> None:
    x = np.arange(11) * 1.0
    x[at + 1 :] += 3.0
    assert f"between frames {at} and {at + 1}" in pose_jump(driven(x, 0.1), 1.0)


def test_a_drive_whose_poses_jump_is_not_fitted(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path)
    frames = list(drive.frames)
    for i in range(len(frames) // 2, len(frames)):
        moved = frames[i].world_from_ego.copy()
        moved[1, 3] += 3.0
        frames[i] = replace(frames[i], world_from_ego=moved)
    with pytest.raises(PoseInvalid, match=r"poses jump by 3\.0 m between frames"):
        fit([Trip(drive=replace(drive, frames=tuple(frames)), labels=labels)], FitConfig())
