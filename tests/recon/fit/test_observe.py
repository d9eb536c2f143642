"""Observation counts against a slow loop over cells and images."""

from pathlib import Path

import numpy as np
import slope_world as world

from recon.classes import RoadClass
from recon.fit.observe import observe
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


def test_counts_equal_the_slow_loop(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=4)
    views = Views([Trip(drive=drive, labels=labels)])
    cells = Cells.corridor(drive.path_xy_m(), corridor_m=6.0, cell_m=0.5)
    centres = cells.centres()
    z = world.SLOPE * centres[:, 0]
    seen = observe(views, cells, z, max_distance_m=12.0, tick=silent)
    for i in range(0, len(cells), 7):
        sightings = [s for view in views if (s := sighting(view, np.r_[centres[i], z[i]], 12.0))]
        assert seen.views[i] == len(sightings)
        if sightings:
            assert np.isclose(seen.nearest_view_m[i], min(d for d, _ in sightings), rtol=1e-5)
            labels_seen = {label for _, label in sightings}
            assert set(np.flatnonzero(seen.class_share[i])) == labels_seen
            assert np.isclose(seen.class_share[i].sum(), 1.0, atol=1e-5)


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
