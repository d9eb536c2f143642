from __future__ import annotations

import numpy as np
import pytest
from crosswalk_field import crosswalk_field
from painter import Canvas
from shapely import LineString, Polygon, box
from shapely.affinity import rotate

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace_config import TraceConfig


def _square(*areas: Polygon, heading_deg: float = 0.0, strength: float = 1.0) -> Canvas:
    """Return 24 m x 24 m of road with crosswalk paint on it, turned about its middle."""
    canvas = Canvas(Grid(west_m=-12, north_m=12, cell_m=0.1, width=240, height=240))
    canvas.area([(-12, -12), (12, -12), (12, 12), (-12, 12)], RoadClass.ROAD)
    for area in areas:
        ring = np.asarray(rotate(area, heading_deg, origin=(0, 0)).exterior.coords)[:-1]
        canvas._paint(strength * (canvas._signed(ring) > 0), RoadClass.CROSSWALK)
    return canvas


def _found(canvas: Canvas) -> list[Polygon]:
    evidence = Evidence.of(canvas.bev(), min_views=1)
    return [Polygon(ring) for ring, _ in find_crossings(evidence, TraceConfig())]


def _iou(one: Polygon, other: Polygon) -> float:
    return float(one.intersection(other).area / one.union(other).area)


LINES = (box(-1.65, -5, -1.35, 5), box(1.35, -5, 1.65, 5))


@pytest.mark.parametrize("heading_deg", [0.0, 33.0])
def test_two_lines_across_the_road_are_one_crossing(heading_deg):
    (crossing,) = _found(_square(*LINES, heading_deg=heading_deg))
    assert _iou(crossing, rotate(box(-1.65, -5, 1.65, 5), heading_deg, origin=(0, 0))) > 0.95


def test_two_lines_of_which_one_is_hidden_in_part_are_one_crossing():
    canvas = _square(*LINES)
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    canvas.hide((x > 0) & (y > 2.0))
    (crossing,) = _found(canvas)
    assert _iou(crossing, box(-1.65, -5, 1.65, 5)) > 0.8


@pytest.mark.parametrize("gap_m", [0.5, 1.3])
def test_stripes_are_one_crossing_though_one_is_worn_away(gap_m):
    pitch = 0.5 + gap_m
    stripes = [box(-2, -5 + i * pitch, 2, -4.5 + i * pitch) for i in range(6) if gap_m > 1 or i != 3]
    (crossing,) = _found(_square(*stripes, heading_deg=20.0))
    assert _iou(crossing, rotate(box(-2, -5, 2, -4.5 + 5 * pitch), 20.0, origin=(0, 0))) > 0.93


def test_a_plain_crossing_is_one_polygon_as_large_however_sure_the_classes_are():
    areas = [_found(_square(box(-2, -5, 2, 5), strength=strength))[0].area for strength in (1.0, 0.5)]
    assert areas[0] == pytest.approx(40.0, rel=0.02)
    assert areas[1] == pytest.approx(areas[0], rel=0.02)


def test_a_line_that_stays_alone_is_no_crossing():
    assert not _found(_square(box(-5, -0.15, 5, 0.15)))


def test_crossings_round_a_corner_and_on_both_sides_of_a_kerb_stay_apart():
    corner = _square(box(-10, -6, -6, 6), box(-4.5, 7, 6, 11))
    assert len(_found(corner)) == 2
    island = _square(box(-2, -8, 2, -0.9), box(-2, 0.9, 2, 8))
    assert len(_found(island)) == 1
    island.stroke(LineString([(-4, 0), (4, 0)]).coords, width_m=0.9, road_class=RoadClass.CURB)
    assert len(_found(island)) == 2


def test_a_stop_line_taken_for_crosswalk_does_not_widen_the_zebra_beside_it():
    stripes = [box(-2, -5 + i, 2, -4.5 + i) for i in range(10)]
    found = _found(_square(*stripes, box(3, -5, 3.4, 0)))
    assert len(found) == 1
    assert _iou(found[0], box(-2, -5, 2, 4.5)) > 0.93


def test_where_classes_are_unsure_of_half_a_zebra_the_whole_of_it_is_one_crossing_of_straight_sides():
    generator = np.random.default_rng(4)
    canvas = _square(*[box(-2, -5 + i, 2 + generator.uniform(-0.3, 0.3), -4.5 + i) for i in range(10)])
    y = canvas.grid.centres()[..., 1]
    weak = np.where(y > 0, 0.45, 1.0)[..., None]
    road = np.eye(len(RoadClass))[RoadClass.ROAD]
    canvas.probability = weak * canvas.probability + (1 - weak) * road
    (crossing,) = _found(canvas)
    assert len(crossing.exterior.coords) == 5
    assert _iou(crossing, box(-2, -5, 2, 4.5)) > 0.93


def test_a_hidden_corner_does_not_move_the_sides():
    canvas = _square(*[box(-2, -5 + i, 2, -4.5 + i) for i in range(10)])
    x, y = np.moveaxis(canvas.grid.centres(), -1, 0)
    canvas.hide(x + y > 4.5)
    (crossing,) = _found(canvas)
    assert _iou(crossing, box(-2, -5, 2, 4.5)) > 0.93


@pytest.mark.slow
def test_four_hundred_areas_of_one_image_are_found_each_in_its_place():
    # That an area does not cost the whole image each time is measured: bench_crossings.py.
    found = find_crossings(crosswalk_field(20, (80, 100)), TraceConfig())
    assert len(found) == 400
    tiles = {tuple((ring.mean(axis=0) // (10.0, 8.0)).tolist()) for ring, _ in found}
    assert len(tiles) == 400


def test_a_part_much_narrower_than_the_zebra_before_it_is_a_crossing_of_its_own():
    assert len(_found(_square(box(-2, -4, 2, 4), box(-2, 5.2, 1.6, 7.0)))) == 1
    assert len(_found(_square(box(-2, -4, 2, 4), box(-2, 5.2, -0.2, 7.0)))) == 2


@pytest.mark.parametrize("lean_m", [2.0, 3.0])
def test_a_slanting_crossing_is_not_published_as_its_rectangle(lean_m):
    slanting = Polygon([(-5, -2), (3, -2), (3 + lean_m, 2), (-5 + lean_m, 2)])
    (crossing,) = _found(_square(slanting))
    assert slanting.area < 0.85 * slanting.minimum_rotated_rectangle.area
    assert _iou(crossing, slanting) > 0.93  # the opening that removes frays rounds sharp corners


def test_blocks_of_stripes_far_apart_are_two_crossings():
    counts = []
    for gap_m in (1.5, 3.0):
        counts.append(len(_found(_square(box(-2, -6, 2, -gap_m / 2), box(-2, gap_m / 2, 2, 6)))))
    assert counts == [1, 2]


def test_a_line_as_long_as_the_zebra_beside_it_is_not_one_of_its_stripes():
    stripes = [box(-2, -5 + i, 2, -4.5 + i) for i in range(10)]
    (crossing,) = _found(_square(*stripes, box(3.0, -5, 3.3, 4.5)))
    assert _iou(crossing, box(-2, -5, 2, 4.5)) > 0.93


def test_a_crossing_round_a_corner_keeps_its_corner():
    corner = box(-6, -6, -2, 6).union(box(-6, 2, 6, 6))
    (crossing,) = _found(_square(corner))
    assert _iou(crossing, corner) > 0.93


@pytest.mark.parametrize("missing", [3, 4])
@pytest.mark.parametrize("heading_deg", [0.0, 33.0])
def test_stripes_worn_away_side_by_side_leave_one_crossing(missing, heading_deg):
    stripes = [box(-2, -6 + i, 2, -5.5 + i) for i in range(12) if not 4 <= i < 4 + missing]
    (crossing,) = _found(_square(*stripes, heading_deg=heading_deg))
    assert _iou(crossing, rotate(box(-2, -6, 2, 5.5), heading_deg, origin=(0, 0))) > 0.9


def test_zebras_apart_along_the_road_or_beside_an_island_stay_two_crossings():
    one_side = [box(-5, -6 + i, -1.5, -5.5 + i) for i in range(12)]
    other_side = [box(1.5, -6 + i, 5, -5.5 + i) for i in range(12)]
    assert len(_found(_square(*one_side, *other_side))) == 2
    canvas = _square(*(box(-2, y, 2, y + 0.5) for y in (-6, -5, -4, -3, 2.5, 3.5, 4.5, 5.5)))
    canvas.area([(-4, -0.8), (4, -0.8), (4, 0.8), (-4, 0.8)], RoadClass.OFF_ROAD)
    assert len(_found(canvas)) == 2
