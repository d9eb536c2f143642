"""A site fitted in tiles is the site fitted at once, but for what no border shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import slope_world as world

from recon import artifact
from recon.bev.bake import bake
from recon.classes import CLASS_COUNT
from recon.config import BakeConfig, FitConfig
from recon.errors import NoRoadFound
from recon.fit.fit import fit
from recon.fit.stitch import Stitcher
from recon.fit.tiles import Tile
from recon.sensors.lidar import world_points
from recon.surface.cells import Cells, corridor_blocks
from recon.surface.road_surface import RoadSurface
from recon.views.views import Trip, Views

WHOLE = FitConfig(corridor_m=8.0, max_distance_m=15.0, epochs=1)
TILED = replace(WHOLE, tile_cells=40_000)


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Trip:
    drive, labels = world.write_drive(tmp_path_factory.mktemp("slope"))
    return Trip(drive=drive, labels=labels)


@pytest.fixture(scope="module")
def tiled(trip: Trip) -> RoadSurface:
    return fit([trip], TILED)


def by_cell(surface: RoadSurface) -> np.ndarray:
    return np.lexsort((surface.column, surface.row))


@pytest.mark.slow
def test_tiles_give_the_cells_heights_and_classes_of_the_whole(trip: Trip, tiled: RoadSurface) -> None:
    whole = fit([trip], WHOLE)
    assert len(tiled.report["tiles"]) > 1
    a, b = by_cell(whole), by_cell(tiled)
    for name in ("row", "column", "views", "trips"):
        assert np.array_equal(getattr(whole, name)[a], getattr(tiled, name)[b]), name
    assert np.abs(whole.nearest_view_m[a] - tiled.nearest_view_m[b]).max() < 0.01
    assert np.abs(whole.z[a] - tiled.z[b]).max() < 0.02
    classes = [s.class_logits[order].argmax(axis=1) for s, order in ((whole, a), (tiled, b))]
    assert (classes[0] == classes[1]).mean() > 0.995


@pytest.mark.slow
def test_no_seam_shows_at_the_border_of_two_tiles(tiled: RoadSurface) -> None:
    error = tiled.z - world.SLOPE * tiled.grid.to_m(np.stack([tiled.column + 0.5, tiled.row + 0.5], axis=1))[:, 0]
    at = {(int(r), int(c)): i for i, (r, c) in enumerate(zip(tiled.row, tiled.column, strict=True))}
    seams = [(i, at[r, c + 1]) for (r, c), i in at.items() if c % 32 == 31 and (r, c + 1) in at]
    steps = np.array([error[j] - error[i] for i, j in seams])
    assert len(steps) > 50
    assert np.quantile(np.abs(steps), 0.99) < 0.005


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(trip: Trip, tiled: RoadSurface, tmp_path: Path) -> None:
    again = fit([trip], TILED, scratch=tmp_path)
    digests = [artifact.write(s, tmp_path / name).digest for s, name in ((tiled, "a"), (again, "b"))]
    assert digests[0] == digests[1]
    assert bake(again, BakeConfig()).seen.sum() == tiled.count
    # The tiles stay until whoever gave the folder has the surface: a fit that is killed just before goes on from them.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "tiles"]


def test_the_report_is_that_of_all_tiles(tiled: RoadSurface) -> None:
    tiles = tiled.report["tiles"]
    assert sum(tile["cells"] for tile in tiles) == tiled.count
    low, high = (f([t["losses"]["class"]["last_epoch"] for t in tiles]) for f in (min, max))
    assert low <= tiled.report["losses"]["class"]["last_epoch"] <= high
    assert tiled.report["losses"]["lidar"]["live"]


def test_a_tile_in_which_nothing_was_seen_stays_empty_and_says_why(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=6)
    # A detour that no image shows.
    blind = [replace(drive.frames[0], time_ns=10**10 + i, images=(), lidar_path="") for i in range(10)]
    moved = []
    for i, frame in enumerate(blind):
        pose = frame.world_from_ego.copy()
        pose[:3, 3] = [-40.0 - 2.0 * i, 0.0, 0.0]
        moved.append(replace(frame, world_from_ego=pose))
    longer = replace(drive, frames=(*drive.frames, *moved))
    surface = fit([Trip(drive=longer, labels=labels)], replace(TILED, most_jump_m=1000.0))
    why = [tile.get("empty") for tile in surface.report["tiles"]]
    assert "no image shows its ground" in why
    assert None in why
    assert surface.count > 0


def test_a_site_without_road_in_any_tile_is_refused(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3, occluded=True)
    with pytest.raises(NoRoadFound, match=r"0 cells seen.*Check that the cameras"):
        fit([Trip(drive=drive, labels=labels)], replace(TILED, tile_cells=10_000))


def test_views_of_a_tile_are_those_that_see_it(trip: Trip) -> None:
    views = Views([trip])
    part = views.only([2, 0])
    assert [image.frame for _, image, _ in part.images] == [2, 0]
    assert len(views) == 10
    low, high = views.footprint(0, 12.0)
    assert (low < high).all()


def test_points_of_a_box_are_those_of_the_cloud_that_lie_in_it(trip: Trip) -> None:
    cloud = world_points(trip.drive, max_range_m=20.0)
    low, high = np.array([5.0, -3.0]), np.array([12.0, 2.0])
    inside = np.all((cloud[:, :2] >= low) & (cloud[:, :2] <= high), axis=1)
    assert np.array_equal(world_points(trip.drive, max_range_m=20.0, box_m=(low, high)), cloud[inside])


def test_what_a_tile_says_nothing_about_is_not_divided_by_nothing() -> None:
    path = np.zeros((1, 2))
    grid, blocks = corridor_blocks(path, corridor_m=20.0, cell_m=0.2)
    own = blocks[len(blocks) // 2][None]
    tile = Tile(grid=grid, own=own, with_halo=blocks[np.abs(blocks - own).max(axis=1) <= 1])
    cells = Cells.within(path, grid, tile.with_halo, corridor_m=20.0)
    assert tile.blend_weight(cells.row, cells.column).min() == 0.0
    n = len(cells)
    surface = RoadSurface(
        grid=grid,
        row=cells.row,
        column=cells.column,
        z=np.ones(n, np.float32),
        tilt=np.zeros((n, 2), np.float32),
        log_scale=np.zeros((n, 2), np.float32),
        opacity=np.zeros(n, np.float32),
        rgb=np.zeros((n, 3), np.float32),
        class_logits=np.zeros((n, CLASS_COUNT), np.float32),
        views=np.ones(n, np.uint16),
        trips=np.ones(n, np.uint64),
        nearest_view_m=np.ones(n, np.float32),
        shift_m=np.zeros((n, 2), np.float32),
        exposure={},
        report={"losses": {}, "lidar_cells": 0, "stereo_points": 0},
    )
    stitcher = Stitcher(None)
    stitcher.add(surface, tile, cast(Views, range(3)))
    whole = stitcher.surface("here")
    assert whole.count == tile.owns(cells.row, cells.column).sum()
    assert np.array_equal(whole.z, np.ones(whole.count, np.float32))
