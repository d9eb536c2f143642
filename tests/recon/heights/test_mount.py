"""The height of the road and the pitch of cameras, told from images on an analytic street."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import uneven_street as world
from uneven_street import Street

from recon.drive import DriveLog
from recon.geometry import invert
from recon.heights.mount import mount_report, mounted, turned
from recon.progress import silent

pytestmark = pytest.mark.slow

STREET = Street(crown=0.02)


def stated(drive: DriveLog, views: world.Listed, ground_z_m: float, pitch_deg: float) -> tuple[DriveLog, world.Listed]:
    """Return drive and views that state another height of the road and a mount that points too high by `pitch_deg`."""
    turn = turned(pitch_deg)
    cameras = tuple(replace(c, ego_from_camera=c.ego_from_camera @ turn) for c in drive.cameras)
    wrong = world.Listed(replace(view, world_from_camera=view.world_from_camera @ turn) for view in views)
    return replace(drive, ground_z_ego_m=ground_z_m, cameras=cameras), wrong


def report_of(drive: DriveLog, views: world.Listed, *, use: bool = True) -> dict[str, Any]:
    return mount_report(views, drive, use=use, tick=silent)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ground_z_m", "pitch_deg", "street"),
    [
        (0.3, 0.0, STREET),
        (-0.3, 0.0, STREET),
        (0.08, 0.0, STREET),
        (0.0, 1.0, STREET),
        (-0.15, -0.7, STREET),
        (0.2, 0.5, Street(grade=0.08, crown=0.03)),
    ],
)
def test_a_wrong_height_or_pitch_is_named_and_put_right(ground_z_m: float, pitch_deg: float, street: Street) -> None:
    true, seen = world.views(street, yaws_deg=(0.0,))
    drive, views = stated(true, seen, ground_z_m, pitch_deg)
    report = report_of(drive, views)
    right = mounted(drive, {"mount": report})
    assert report["used"] == "images"
    assert "fit.mount" in report["message"]
    assert abs(right.ground_z_ego_m) < 0.04
    turn = invert(true.cameras[0].ego_from_camera) @ right.cameras[0].ego_from_camera
    assert np.degrees(np.arccos(np.clip(turn[2, 2], -1.0, 1.0))) < 0.2


def test_what_is_stated_stays_where_the_images_agree_or_where_a_user_says_so() -> None:
    drive, views = world.views(STREET, yaws_deg=(0.0,))
    report = report_of(drive, views)
    assert report["used"] == "typed"
    assert "agree" in report["message"]
    assert mounted(drive, {"mount": report}) is drive
    wrong, seen = stated(drive, views, 0.2, 0.0)
    report = report_of(wrong, seen, use=False)
    assert report["used"] == "typed"
    assert "the drive states" in report["message"]
    assert mounted(wrong, {"mount": report}) is wrong


@pytest.mark.parametrize("step_m", [0.0, 2.5], ids=["a drive that stands still", "ground without texture"])
def test_images_that_cannot_tell_say_so(step_m: float) -> None:
    street = Street(contrast=0.0 if step_m else 25.0)
    drive, views = stated(*world.views(street, yaws_deg=(0.0,), step_m=step_m), 0.2, 0.0)
    report = report_of(drive, views)
    assert report["used"] == "typed"
    assert report["found_ground_z_ego_m"] is None
    assert "do not tell" in report["message"]


def test_a_rig_shares_its_height_and_each_camera_has_its_pitch() -> None:
    true, seen = world.views(STREET, yaws_deg=(0.0, 180.0))
    drive = replace(true, ground_z_ego_m=0.1)
    turn = turned(0.7)
    front, back = drive.cameras
    drive = replace(drive, cameras=(front, replace(back, ego_from_camera=back.ego_from_camera @ turn)))
    views = world.Listed(
        replace(view, world_from_camera=view.world_from_camera @ turn) if view.camera == back.name else view
        for view in seen
    )
    report = report_of(drive, views)
    assert abs(report["raise_m"] + 0.1) < 0.04
    assert set(report["pitch_deg"]) == {back.name}
    assert abs(report["pitch_deg"][back.name] - 0.7) < 0.2
