"""Observation counts against a slow loop over cells and images."""

from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon.align.alignment import corrected
from recon.classes import RoadClass
from recon.fit.observe import observe
from recon.fit.observe_kernels import APART_M, APART_SHARE, PLACES
from recon.progress import silent
from recon.surface.cells import Cells
from recon.views.views import Trip, View, Views, held_out


def sighting(view: View, point: np.ndarray, reach_m: float) -> tuple[float, int] | None:
    """Distance and label of one point in one image, or None when it is not seen."""
    x, y, z, _ = view.camera_from_world @ np.r_[point, 1.0]
    distance = float(np.sqrt(x * x + y * y + z * z))
    if z < 0.2 or not 1.0 <= distance <= reach_m:
        return None
    u, v, _ = view.k @ (x / z, y / z, 1.0)
    height, width = view.labels.ids.shape
    if not (0 <= u < width and 0 <= v < height) or view.labels.ids[int(v), int(u)] == RoadClass.UNKNOWN:
        return None
    return distance, int(view.labels.ids[int(v), int(u)])


def looks(sightings: list[tuple[float, np.ndarray]]) -> int:
    """Number of sightings (distance, place of the camera) that differ from the last counted ones."""
    counted: list[np.ndarray] = []
    for distance, place in sightings:
        if all(np.linalg.norm(place - one) >= max(APART_M, APART_SHARE * distance) for one in counted[-PLACES:]):
            counted.append(place)
    return len(counted)


@pytest.mark.parametrize("step", [1.0, 0.1, 0.0])
def test_counts_equal_the_slow_loop(tmp_path: Path, step: float) -> None:
    drive, labels = world.write_drive(tmp_path, frames=9)
    back = np.zeros((9, 4))
    back[:, 0] = (step - 1.0) * 2.0 * np.arange(9)  # the poses told make the vehicle slower than it was
    drive = corrected(drive, back)
    views = Views([Trip(drive=drive, labels=labels)])
    cells = Cells.corridor(drive.path_xy_m(), corridor_m=6.0, cell_m=0.5)
    centres = cells.centres()
    z = world.SLOPE * centres[:, 0]
    seen = observe(views, cells, z, max_distance_m=12.0, tick=silent)
    for i in range(0, len(cells), 7):
        found = [(sighting(view, np.r_[centres[i], z[i]], 12.0), view.world_from_camera[:3, 3]) for view in views]
        sightings = [s for s, _ in found if s]
        assert seen.views[i] == looks([(s[0], place) for s, place in found if s])
        if sightings:
            assert np.isclose(seen.nearest_view_m[i], min(d for d, _ in sightings), rtol=1e-5)
            labels_seen = {label for _, label in sightings}
            assert set(np.flatnonzero(seen.class_share[i])) == labels_seen
            assert np.isclose(seen.class_share[i].sum(), 1.0, atol=1e-5)


def test_what_a_wrong_height_shows_lies_aside_by_the_lean(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3)
    views = Views([Trip(drive=drive, labels=labels)]).only([1])  # one image, so that its rays are the mean
    cells = Cells.corridor(drive.path_xy_m(), corridor_m=6.0, cell_m=0.5)
    centres = cells.centres()
    z = world.SLOPE * centres[:, 0]
    seen = observe(views, cells, z, max_distance_m=12.0, tick=silent)
    at = np.flatnonzero(seen.views > 0)
    (view,) = views
    wrong_m = 0.1
    # The ray through a cell whose ground lies lower than believed meets it farther away, by the lean for each metre.
    camera = view.world_from_camera[:3, 3]
    cell = np.c_[centres, z][at]
    lower = camera + (cell - camera) * ((camera[2] - z[at] + wrong_m) / (camera[2] - z[at]))[:, None]
    assert np.allclose(lower[:, 2], z[at] - wrong_m)
    assert np.allclose(lower[:, :2] - centres[at], wrong_m * seen.lean[at], atol=1e-4)


def test_the_box_holds_all_that_a_view_sees(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=2)
    view = next(iter(Views([Trip(drive=drive, labels=labels)])))
    low, high = view.footprint(12.0)
    points = np.random.default_rng(0).uniform(-20, 30, (2000, 2))
    for x, y in points:
        if sighting(view, np.array([x, y, world.SLOPE * x]), 12.0):
            assert (low <= [x, y]).all()
            assert (high >= [x, y]).all()


def test_held_out_frames_are_every_nth() -> None:
    assert [i for i in range(12) if held_out(i, 5)] == [4, 9]
    assert not any(held_out(i, 0) for i in range(12))


def test_views_leave_held_out_frames_out(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=6)
    assert [image.frame for _, image, _ in Views([Trip(drive=drive, labels=labels)], holdout_every=3).images] == [
        0,
        1,
        3,
        4,
    ]
