"""Heights from the agreement of images, on an analytic slope whose first guess is tilted to one side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slope_world as world

from recon.drive import DriveLog
from recon.heights.height_field import HeightField, height_field
from recon.heights.plane_sweep import agreed_heights
from recon.progress import silent
from recon.surface.cells import Cells
from recon.views.views import Trip, Views

ASIDE = 0.03  # metres up per metre north: what the first guess has and the road has not


@pytest.fixture(scope="module")
def slope(tmp_path_factory: pytest.TempPathFactory) -> tuple[DriveLog, Views]:
    drive, labels = world.write_drive(tmp_path_factory.mktemp("slope"), lidar=False, frames=14)
    return drive, Views([Trip(drive=drive, labels=labels)])


def tilted(drive: DriveLog) -> HeightField:
    field = height_field([drive], np.zeros((0, 3)), corridor_m=8.0)
    return replace(field, z=field.z + ASIDE * field.grid.centres()[..., 1])


def corridor(drive: DriveLog) -> Cells:
    return Cells.corridor(drive.path_xy_m(), corridor_m=6.0, cell_m=0.1)


def test_images_agree_at_the_height_of_the_road(slope: tuple[DriveLog, Views]) -> None:
    drive, views = slope
    points, votes = agreed_heights(views, corridor(drive), tilted(drive), silent)
    x, y, z = points.T
    beside = np.abs(y) > 1.5
    assert beside.sum() > 20
    wrong = np.average(np.abs(z - world.SLOPE * x)[beside], weights=votes[beside])
    guessed = np.average(np.abs(ASIDE * y)[beside], weights=votes[beside])
    assert wrong < 0.4 * guessed
    assert votes.min() >= 0.0
    assert votes.max() <= 1.0


def test_only_places_that_are_called_drivable_vote(slope: tuple[DriveLog, Views]) -> None:
    drive, views = slope
    points, votes = agreed_heights(views, corridor(drive), tilted(drive), silent)
    # Blocks beyond the edge lend from the road, never from the grass.
    assert np.abs(points[:, 1]).max() < world.ROAD_HALF_M + 0.2
    assert len(points) == len(votes)


def test_where_no_image_looks_there_is_no_height(slope: tuple[DriveLog, Views]) -> None:
    drive, views = slope
    far = Cells.corridor(drive.path_xy_m() + 500.0, corridor_m=3.0, cell_m=0.1)
    points, votes = agreed_heights(views, far, tilted(drive), silent)
    assert points.shape == (0, 3)
    assert votes.shape == (0,)
