"""Heights from the agreement of images, on analytic streets that the path alone does not know."""

from __future__ import annotations

import numpy as np
import pytest
import uneven_street as world
from uneven_street import ROAD_HALF_M, Street

from recon.drive import DriveLog
from recon.heights.ground_heights import GroundHeights, from_images
from recon.heights.height_field import HeightField, height_field
from recon.heights.plane_sweep import COARSE, FINE, ROAD, agreed_heights, compare, halvings
from recon.heights.smooth_cost_kernels import smooth_costs
from recon.progress import silent
from recon.surface.cells import Cells

pytestmark = pytest.mark.slow

CORRIDOR_M = 13.0
NOTHING = np.zeros((0, 3))


def ground_of(drive: DriveLog, views: list) -> tuple[HeightField, GroundHeights]:
    cells = Cells.corridor(drive.path_xy_m(), corridor_m=CORRIDOR_M, cell_m=0.1)
    field = height_field([drive], NOTHING, corridor_m=CORRIDOR_M)
    sizes = {"corridor_m": CORRIDOR_M, "weight": 1.0}
    return field, from_images([drive], views, cells, field, NOTHING, **sizes, tick=silent)  # type: ignore[arg-type]


def probes(drive: DriveLog) -> np.ndarray:
    """Return places beside the drive, up to 11 m away, without the last decimetres on both sides of a kerb."""
    x, y = np.meshgrid(np.arange(3.0, drive.path_xy_m()[-1, 0] - 3.0, 0.5), np.arange(-12.0, 9.1, 0.25))
    xy = np.stack([x.ravel(), y.ravel()], axis=-1)
    return xy[np.abs(np.abs(xy[:, 1]) - ROAD_HALF_M) > 0.4]


def wrong(ground: HeightField | GroundHeights, street: Street, xy: np.ndarray) -> float:
    """Return the 90 % quantile of the height error in metres."""
    return float(np.quantile(np.abs(ground.at(xy)[0] - street.z(*xy.T)), 0.9))


@pytest.mark.parametrize(
    "street",
    [
        Street(crown=0.03, verge=0.05, grade=0.08),
        Street(bank=0.04, verge=-0.08, kerb_m=0.0),
    ],
    ids=["kerbs and rising verges on a steep street", "banked street with sinking verges"],
)
def test_images_measure_what_the_path_does_not_know(street: Street) -> None:
    drive, views = world.views(street, exposures=(0.0, 0.15, -0.15, 0.1))
    path, ground = ground_of(drive, views)
    xy = probes(drive)
    assert wrong(path, street, xy) > 0.2
    assert wrong(ground, street, xy) < 0.05


def test_a_kerb_stays_a_step() -> None:
    street = Street(verge=0.03)
    drive, views = world.views(street)
    _, ground = ground_of(drive, views)
    x = np.arange(4.0, 16.0, 0.25)
    for side in (-1.0, 1.0):
        foot, top = (np.c_[x, np.full(len(x), side * (ROAD_HALF_M + step))] for step in (-0.1, 0.5))
        assert np.median(np.abs(ground.at(foot)[0])) < 0.02
        assert np.median(np.abs(ground.at(top)[0] - street.z(*top.T))) < 0.04


def test_weak_texture_is_measured_less_surely_and_none_leaves_the_field() -> None:
    sure = []
    for contrast in (25.0, 6.0, 0.0):
        street = Street(crown=0.03, verge=0.05, contrast=contrast)
        drive, views = world.views(street)
        path, ground = ground_of(drive, views)
        xy = probes(drive)
        cells = Cells.corridor(drive.path_xy_m(), corridor_m=CORRIDOR_M, cell_m=0.1)
        found = compare(views, cells, path, drive.path_xy_m(), COARSE, silent)  # type: ignore[arg-type]
        sure.append(float(agreed_heights(found, COARSE, (ROAD,)).certainty.sum()))
        # Without texture the images may confirm noise, but not lead far from the path's field.
        limit = {25.0: 0.05, 6.0: 0.08, 0.0: wrong(path, street, xy) + 0.1}[contrast]
        assert wrong(ground, street, xy) < limit
    assert sure[0] > 1.5 * sure[1] > 3.0 * sure[2]


@pytest.mark.parametrize(("noise", "yaws_deg"), [(1.5, (0.0,)), (5.0, (0.0,)), (3.0, world.ALL_SIDES)])
def test_bare_lines_along_the_street_measure_nothing(noise: float, yaws_deg: tuple[float, ...]) -> None:
    street = Street(contrast=0.0, kerb_m=0.0, bare_lines=100.0)
    drive, views = world.views(street, noise=noise, yaws_deg=yaws_deg)
    path, ground = ground_of(drive, views)
    xy = probes(drive)
    assert wrong(path, street, xy) < 0.001
    assert wrong(ground, street, xy) < 0.03
    assert np.abs(ground.at(xy)[0]).max() < 0.1


def test_one_pose_measures_nothing_by_itself() -> None:
    street = Street(crown=0.03, verge=0.05)
    drive, views = world.views(street, frames=3, step_m=0.0, yaws_deg=(0.0,))
    path, ground = ground_of(drive, views)
    x, y = np.meshgrid(np.arange(4.0, 14.0, 0.5), np.arange(-5.0, 3.0, 0.5))
    xy = np.stack([x.ravel(), y.ravel()], axis=-1)
    assert np.abs(ground.at(xy)[0] - path.at(xy)[0]).max() < 0.05


@pytest.mark.parametrize("step_m", [0.01, 0.02])
def test_a_creeping_vehicle_measures_nothing_far_away(step_m: float) -> None:
    street = Street(verge=0.05)
    drive, views = world.views(street, frames=40, step_m=step_m, yaws_deg=(0.0,))
    cells = Cells.corridor(drive.path_xy_m() + [10.0, 0.0], corridor_m=8.0, cell_m=0.1)
    field = height_field([drive], NOTHING, corridor_m=CORRIDOR_M)
    found = compare(views, cells, field, drive.path_xy_m(), COARSE, silent)  # type: ignore[arg-type]
    ahead = found.xyz_m[:, 0] > 11.0  # ten times the way from the camera that drives ahead
    assert ahead.sum() > 100
    assert not found.looks[ahead].any()


def test_where_no_image_looks_there_is_no_height() -> None:
    drive, views = world.views(Street(), frames=2, yaws_deg=(0.0,))
    away = Cells.corridor(drive.path_xy_m() + 500.0, corridor_m=3.0, cell_m=0.1)
    field = height_field([drive], NOTHING, corridor_m=CORRIDOR_M)
    found = compare(views, away, field, drive.path_xy_m() + 500.0, FINE, silent)  # type: ignore[arg-type]
    heights = agreed_heights(found, FINE, (ROAD,))
    assert heights.xyz_m.shape == (0, 3)
    assert heights.certainty.shape == (0,)


def test_halvings_lie_one_after_another() -> None:
    light = np.random.default_rng(0).random((45, 83)).astype(np.float32)
    flat, starts = halvings(light)
    assert starts[0].tolist() == [0, 83, 45]
    assert starts[1].tolist() == [45 * 83, 41, 22]
    assert np.array_equal(flat[: 45 * 83].reshape(45, 83), light)
    assert len(flat) == int((starts[:, 1] * starts[:, 2]).sum())
    assert abs(flat[45 * 83 : 45 * 83 + 41 * 22].mean() - light.mean()) < 0.01


def slow_smooth_costs(cost: np.ndarray, small: float, large: float) -> np.ndarray:
    rows, columns, levels = cost.shape
    step = np.abs(np.subtract.outer(np.arange(levels), np.arange(levels)))
    price = np.where(step == 0, 0.0, np.where(step == 1, small, large))
    total = np.zeros_like(cost)
    for dr, dc in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]:
        arrived: dict[tuple[int, int], np.ndarray] = {}

        def at(r: int, c: int, dr: int = dr, dc: int = dc, arrived: dict = arrived) -> np.ndarray:
            if (r, c) not in arrived:
                before = (r - dr, c - dc)
                best = np.zeros(levels)
                if 0 <= before[0] < rows and 0 <= before[1] < columns:
                    carried = at(*before)
                    best = (carried[None] + price).min(axis=1) - carried.min()
                arrived[r, c] = cost[r, c] + best
            return arrived[r, c]

        for r in range(rows):
            for c in range(columns):
                total[r, c] += at(r, c)
    return total


def test_smooth_costs_are_those_of_the_obvious_recursion() -> None:
    cost = np.random.default_rng(1).random((5, 4, 6)).astype(np.float32)
    assert np.allclose(smooth_costs(cost, 0.1, 0.4), slow_smooth_costs(cost, 0.1, 0.4), atol=1e-5)
