"""What is known of a tile before the first step of its fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon.config import FitConfig
from recon.fit.prepare import prepare
from recon.fit.tiles import tiles_of
from recon.progress import silent
from recon.views.views import Trip, Views


def test_a_tile_far_beside_the_path_takes_its_heights_from_the_nearest_poses(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=2, lidar=False)
    config = FitConfig(cell_m=0.2, corridor_m=80.0, max_distance_m=15.0, tile_cells=10_000)
    tiles = tiles_of(
        drive.path_xy_m(), corridor_m=config.corridor_m, cell_m=config.cell_m, most_cells=config.tile_cells
    )
    away = [np.abs(np.stack(tile.box_m())[:, 1]).min() for tile in tiles]
    farthest = tiles[int(np.argmax(away))]
    site = prepare([drive], Views([Trip(drive=drive, labels=labels)]), farthest, config, silent)
    assert max(away) > 45.0
    assert len(site.cells) == 0


@pytest.mark.slow
def test_a_stray_lidar_return_does_not_stand_for_a_lidar(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=5)
    tiles = tiles_of(drive.path_xy_m(), corridor_m=8.0, cell_m=0.2, most_cells=10**9)
    views, config = Views([Trip(drive=drive, labels=labels)]), FitConfig(cell_m=0.2, corridor_m=8.0)
    assert prepare([drive], views, tiles[0], config, silent).stereo_points == 0
    for frame in drive.frames:
        path = drive.root / frame.lidar_path
        path.write_bytes(path.read_bytes()[:16])
    site = prepare([drive], views, tiles[0], config, silent)
    assert site.stereo_points > 0
    assert np.median(np.abs(site.z - world.SLOPE * site.cells.centres()[:, 0])) < 0.03
