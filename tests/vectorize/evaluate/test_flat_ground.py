from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slope_world

from recon.classes import RoadClass
from recon.errors import NoRoadFound
from recon.geometry import apply, invert
from recon.grid import Grid
from recon.sensors.project import on_ground
from vectorize.evaluate.flat_ground import compare_with_flat_ground, flat_ground
from vectorize.evaluate.reprojection import reprojection_error
from vectorize.polyline import resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

REACH_M = 20.0
GRID = Grid(west_m=-2.0, north_m=8.0, cell_m=0.1, width=420, height=160)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A drive up an even slope: the plane under the vehicle is the road itself."""
    return slope_world.write_drive(tmp_path_factory.mktemp("slope"), frames=10, lidar=False)


@pytest.fixture(scope="module")
def raster(world):
    return flat_ground(*world, GRID, [4, 9], max_distance_m=REACH_M)


def line_error_m(road_map):
    (line,) = road_map.of("divider")
    points = resample(line.vertices, 0.5)
    # Farther ahead than 8 m of the last vehicle a pixel is wider than half of the line.
    return np.abs(points[points[:, 0] < 26.0, 1] - slope_world.LINE_Y_M).max()


def test_on_an_even_slope_the_plane_is_the_road(raster):
    assert line_error_m(trace(raster, TraceConfig())) < 0.1
    seen = raster.views > 0
    x = GRID.centres()[..., 0]
    assert np.abs(raster.height_m - slope_world.SLOPE * x)[seen].max() < 1e-3
    assert np.allclose(raster.class_probability[seen].sum(axis=1), 1.0, atol=5e-3)
    assert not raster.class_probability[~seen].any()


def test_every_cell_is_the_sum_of_what_images_say_of_its_centre(world, raster):
    """The slow twin: one cell and one image at a time, with the matrices written out."""
    drive, labels = world
    (camera,) = drive.cameras
    random = np.random.default_rng(5)
    for row, column in zip(random.integers(0, 160, 40), random.integers(0, 420, 40), strict=True):
        xy = GRID.to_m(np.array([column + 0.5, row + 0.5]))
        votes, total, views = np.zeros(9), 0.0, 0
        for image in labels.images:
            if image.frame in (4, 9):
                continue
            pose = drive.frames[image.frame].world_from_ego
            point = on_ground(xy[None], pose, drive.ground_z_ego_m)
            x, y, z = apply(invert(pose @ camera.ego_from_camera), point)[0]
            distance = float(np.sqrt(x * x + y * y + z * z))
            if z < 0.5 or not 1.0 <= distance <= REACH_M:
                continue
            u = int(np.floor(camera.k[0, 0] * x / z + camera.k[0, 2]))
            v = int(np.floor(camera.k[1, 1] * y / z + camera.k[1, 2]))
            said = labels.read(image)
            if not (0 <= u < camera.width_px and 0 <= v < camera.height_px) or said.ids[v, u] == RoadClass.UNKNOWN:
                continue
            views += 1
            total += 1 / distance**3
            votes[said.ids[v, u]] += 1 / distance**3
        assert raster.views[row, column] == views
        assert np.allclose(raster.class_probability[row, column], votes / max(total, 1e-12), atol=2e-3)


def test_held_out_images_do_not_make_the_map(world, raster):
    drive, labels = world
    left = replace(labels, images=tuple(image for image in labels.images if image.frame not in (4, 9)))
    again = flat_ground(drive, left, GRID, [], max_distance_m=REACH_M)
    assert np.array_equal(again.views, raster.views)
    assert np.array_equal(again.class_probability, raster.class_probability)
    more = flat_ground(drive, labels, GRID, [], max_distance_m=REACH_M)
    assert more.views.max() > raster.views.max()


def test_both_maps_are_measured_alike(world, raster):
    """A line half a metre aside is told from one in its place, in both directions."""
    drive, labels = world
    good = trace(raster, TraceConfig())
    settings = {"max_distance_m": REACH_M, "config": TraceConfig()}
    same = compare_with_flat_ground(drive, labels, good, raster, [4, 9], **settings)
    flat = same.pop("flat_ground")
    assert flat == same
    assert same["marks_met"] > 0.95
    assert same["common_samples"] == same["painted_samples"] > 20
    (line,) = good.of("divider")
    aside = replace(good, elements=(replace(line, vertices=line.vertices + [0.0, 0.6, 0.0]),))
    worse = compare_with_flat_ground(drive, labels, aside, raster, [4, 9], **settings)
    assert worse["flat_ground"]["all_mean_px"] == same["all_mean_px"] < 0.2
    assert worse["all_mean_px"] > 2
    assert worse["marks_within_px"]["2"] < 0.3 * worse["flat_ground"]["marks_within_px"]["2"]
    assert worse["common_samples"] == 0  # it is no line of the other map, and not on paint


def test_a_wrong_plane_cannot_be_seen_along_a_straight_way(world, raster):
    """What reprojection cannot tell: a plane too high moves a line that runs along the path, and back again."""
    drive, labels = world
    high = replace(drive, ground_z_ego_m=drive.ground_z_ego_m + 0.5)
    wrong = trace(flat_ground(high, labels, GRID, [4, 9], max_distance_m=REACH_M), TraceConfig())
    assert line_error_m(wrong) > 0.25
    assert reprojection_error(drive, labels, wrong, [4, 9])["all_mean_px"] < 0.2


def test_flat_ground_without_road_is_an_empty_map(world, raster):
    drive, labels = world
    good = trace(raster, TraceConfig())
    bare = replace(labels, images=tuple(image for image in labels.images if image.frame in (4, 9)))
    with pytest.raises(NoRoadFound):
        trace(flat_ground(drive, bare, GRID, [4, 9], max_distance_m=REACH_M), TraceConfig())
    body = compare_with_flat_ground(drive, bare, good, raster, [4, 9], max_distance_m=REACH_M, config=TraceConfig())
    assert body["flat_ground"]["all_samples"] == 0
    assert body["flat_ground"]["all_within_px"]["1"] is None
    assert body["flat_ground"]["marks_met"] == 0.0
    assert body["common_samples"] == 0
