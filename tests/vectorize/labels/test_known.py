"""What a label may claim to be complete: not the ground that BACKGROUND hides where a road runs into it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from painter import Canvas

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evaluate.clip import Region, clip
from vectorize.labels.known import HIDDEN_M, known_cells
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

GRID = Grid(west_m=-30.0, north_m=20.0, cell_m=0.1, width=600, height=400)


# What hides the ground ends raggedly, where the view of one image after the other ends: that is no kerb.
RAGGED = [(4.0 + 1.2 * (i % 2), 7.0 + 0.7 * i) for i in range(19)]


def side_street(*, house=(*RAGGED, (25.0, 20.0), (25.0, 7.0))):
    """Return a street along x and one that leaves it to the north; a house at the corner hides the latter's east."""
    canvas = Canvas(GRID)
    canvas.area([(-30, -4), (30, -4), (30, 4), (-30, 4)], RoadClass.ROAD)
    canvas.area([(-4, 3), (6, 3), (6, 20), (-4, 20)], RoadClass.ROAD)
    canvas.area(house, RoadClass.BACKGROUND)
    bev = canvas.bev()
    return bev, known_cells(bev, trace(bev, TraceConfig()))


def share(known, west, south, east, north):
    """Return the known share of a rectangle."""
    columns = slice(*np.round((np.array([west, east]) + 30.0) / 0.1).astype(int))
    rows = slice(*np.round((20.0 - np.array([north, south])) / 0.1).astype(int))
    return float(known[rows, columns].mean())


def test_a_road_that_runs_into_background_may_run_on_behind_it():
    _, known = side_street()
    assert share(known, 5.5, 8.0, 4.0 + HIDDEN_M - 1.0, 18.0) == 0.0  # the street's east kerb lies in there
    assert share(known, 4.0 + HIDDEN_M + 2.0, 10.0, 24.0, 18.0) == 1.0  # far behind the edge of the road
    assert share(known, -3.0, 5.0, 3.0, 18.0) == 1.0
    assert share(known, -25.0, 6.0, -6.0, 18.0) == 1.0


@pytest.mark.parametrize("front_m", [4.0, 4.5, 6.0])
def test_background_beyond_a_published_kerb_hides_no_road(front_m):
    # A hedge or a row of houses stands along the street, at the kerb or behind a sidewalk.
    _, known = side_street(house=[(-30, front_m), (-5, front_m), (-5, 20), (-30, 20)])
    assert share(known, -28.0, front_m + 1.0, -8.0, 19.0) > 0.98


def test_background_behind_a_sidewalk_is_not_reached_from_a_road_elsewhere():
    # The sidewalk between the road and the house bars the way, however near the open edge is.
    _, known = side_street(house=((8.0, 7.0), (8.0, 20.0), (25.0, 20.0), (25.0, 7.0)))
    assert share(known, 9.0, 8.0, 24.0, 18.0) > 0.98


def long_street(*specks, kerb_m=0.0):
    """Return a street along x with BACKGROUND beyond its kerbs, with specks of road (x, y, half a side) in that."""
    canvas = Canvas(GRID)
    canvas.area([(-30, -20), (30, -20), (30, 20), (-30, 20)], RoadClass.BACKGROUND)
    for west, east in ((-30, -3), (3, 30)):
        rim = 4 + kerb_m
        canvas.area([(west, -rim), (east, -rim), (east, rim), (west, rim)], RoadClass.CURB)
    canvas.area([(-30, -4), (30, -4), (30, 4), (-30, 4)], RoadClass.ROAD)
    for x, y, half_m in specks:
        square = [(x + a * half_m, y + b * half_m) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        canvas.area(square, RoadClass.ROAD)
    return canvas.bev()


def with_open_kerb(bev, west_m, east_m):
    """Return the map of such a street whose northern kerb is not published between two places."""
    road_map = trace(bev, TraceConfig())
    north = next(e for e in road_map.of("boundary") if e.vertices[:, 1].min() > 0)
    order = np.argsort(north.vertices[[0, -1], 0])
    ends = north.take(np.array([0, len(north.vertices) - 1])[order], closed=False)
    parts = []
    for k, x in ((0, west_m), (1, east_m)):
        vertices = ends.vertices.copy()
        vertices[1 - k, 0] = x
        if vertices[0, 0] < vertices[1, 0]:
            parts.append(replace(ends, vertices=vertices))
    return replace(road_map, elements=(*(e for e in road_map.elements if e is not north), *parts))


@pytest.mark.parametrize("half_m", [0.3, 0.8, 1.8])
def test_a_speck_of_road_amid_background_hides_no_road(half_m):
    """At the rim of the view a net finds a little road in trees and houses."""
    bev = long_street((-12.0, 12.0, half_m), (0.0, 15.0, half_m), (14.0, 11.0, half_m))
    known = known_cells(bev, trace(bev, TraceConfig()))
    assert share(known, -8.0, 4.5, -4.0, 18.0) == 1.0
    assert share(known, -29.0, 4.5, 29.0, 18.0) > 0.75


@pytest.mark.parametrize("gap_m", [0.0, 1.3, 2.5])
def test_a_kerb_that_was_lost_for_a_step_is_no_mouth_of_a_road(gap_m):
    bev = long_street()
    known = known_cells(bev, with_open_kerb(bev, -gap_m / 2, gap_m / 2))
    assert share(known, -29.0, 6.0, 29.0, 18.0) == 1.0


@pytest.mark.parametrize("kerb_m", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("gap_m", [6.0, 12.0])
def test_a_mouth_of_the_road_may_hide_more_of_it_but_not_behind_a_published_kerb(gap_m, kerb_m):
    bev = long_street(kerb_m=kerb_m if gap_m == 6.0 else 0.0)
    known = known_cells(bev, with_open_kerb(bev, -gap_m / 2, gap_m / 2))
    assert share(known, -gap_m / 2 + 1.0, 4.5, gap_m / 2 - 1.0, 11.0) == 0.0
    assert share(known, gap_m / 2 + 1.0, 4.5, 28.0, 18.0) > 0.98
    assert share(known, -28.0, 4.5, -gap_m / 2 - 1.0, 18.0) > 0.98


SMALL = Grid(west_m=-8.0, north_m=8.0, cell_m=0.1, width=160, height=160)


@cache
def seen_street():
    """Return (raster, map) of a street along x with an island."""
    canvas = Canvas(SMALL)
    canvas.area([(-8, -5), (8, -5), (8, 4), (-8, 4)], RoadClass.ROAD)
    canvas.area([(-3, -2.5), (3, -2.5), (3, -1), (-3, -1)], RoadClass.OFF_ROAD)
    bev = canvas.bev()
    return bev, trace(bev, TraceConfig())


def with_pocket(*, length_m, slant=(1.0, 0.0), middle=(0.0, 4.0), width_m=0.3):
    """Return the cells of a strip through a point, and the known cells of the street if no image saw the strip."""
    bev, road_map = seen_street()
    rows, columns = np.indices(SMALL.shape)
    away = SMALL.to_m(np.stack([columns + 0.5, rows + 0.5], axis=-1)) - np.array(middle)
    way = np.array(slant) / np.hypot(*slant)
    hidden = np.abs(away @ way) < length_m / 2
    hidden &= np.abs(away @ np.array([-way[1], way[0]])) < width_m / 2
    return hidden, known_cells(replace(bev, views=np.where(hidden, 0, bev.views).astype(np.uint16)), road_map)


@pytest.mark.parametrize("off_m", [-0.15, 0.0, 0.15])
@pytest.mark.parametrize("slant", [(1.0, 0.25), (1.0, -0.2), (0.2, 1.0)])
def test_a_pocket_that_a_published_kerb_crosses_cuts_neither_label_nor_truth(slant, off_m):
    """A pole hides a strip that meets the kerb at a small angle; the truth lies a little aside."""
    _, known = with_pocket(length_m=3.3, slant=slant)
    (kerb,) = (e for e in seen_street()[1].of("boundary") if e.vertices[:, 1].min() > 0)
    true = replace(kerb, vertices=kerb.vertices + np.array([0.0, off_m, 0.0]))
    assert len(clip([kerb, true], Region.of_grid(known, SMALL))) == 2


def test_only_what_the_line_explains_of_a_pocket_is_known():
    hidden, known = with_pocket(length_m=3.3, slant=(0.0, 1.0))
    y = SMALL.to_m(np.stack(np.nonzero(hidden)[::-1], axis=1) + 0.5)[:, 1]
    assert known[hidden][np.abs(y - 4.0) < 0.5].all()
    assert not known[hidden][np.abs(y - 4.0) > 0.8].any()


@pytest.mark.parametrize("length_m", [3.6, 8.0])
def test_a_line_that_was_not_seen_for_longer_is_not_known_there(length_m):
    hidden, known = with_pocket(length_m=length_m)
    assert not known[hidden].any()


def test_a_pocket_without_a_line_stays_unknown():
    hidden, known = with_pocket(length_m=1.0, middle=(0.0, 1.5), width_m=1.0)
    assert not known[hidden].any()


def test_a_pocket_where_a_ring_begins_is_like_any_other():
    (island,) = (e for e in seen_street()[1].of("boundary") if e.closed)
    hidden, known = with_pocket(length_m=0.8, middle=island.vertices[0, :2], width_m=0.8)
    assert known[hidden].all()


def test_a_speck_that_was_seen_within_a_pocket_does_not_part_it():
    bev, road_map = seen_street()
    hidden, _ = with_pocket(length_m=5.0, width_m=1.0)
    hidden &= ~with_pocket(length_m=0.3, width_m=2.0)[0]
    known = known_cells(replace(bev, views=np.where(hidden, 0, bev.views).astype(np.uint16)), road_map)
    assert not known[hidden].any()
