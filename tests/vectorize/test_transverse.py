from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas
from shapely import LineString, Polygon, box
from shapely.affinity import rotate

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.crosswalk import find_crossings
from vectorize.seen import Evidence
from vectorize.transverse import find_stop_lines

CROSSWALK, STOP, OTHER, MARKING = (
    RoadClass.CROSSWALK,
    RoadClass.STOP_LINE,
    RoadClass.OTHER_MARKING,
    RoadClass.LANE_MARKING,
)


def _road(*, heading_deg: float = 0.0, half_width_m: float = 6.0) -> Canvas:
    """Return 30 m of a road along x."""
    canvas = Canvas(Grid(west_m=-15, north_m=15, cell_m=0.1, width=300, height=300))
    ring = rotate(box(-13, -half_width_m, 13, half_width_m), heading_deg, origin=(0, 0)).exterior.coords
    canvas.area(np.asarray(ring)[:-1], RoadClass.ROAD)
    return canvas


def _across(canvas: Canvas, x_m: float, pieces, *, heading_deg: float = 0.0) -> None:
    """Paint a line at x of pieces (from, to, class) along y."""
    for low, high, road_class in pieces:
        line = rotate(LineString([(x_m, low), (x_m, high)]), heading_deg, origin=(0, 0))
        canvas.stroke(np.asarray(line.coords), width_m=0.3, road_class=road_class)


def _found(canvas: Canvas) -> tuple[list[Polygon], list[np.ndarray]]:
    evidence = Evidence.of(canvas.bev(), min_views=1)
    rings = [ring for ring, _ in find_crossings(evidence, simplify_m=0.2, min_area_m2=2.0)]
    return [Polygon(ring) for ring in rings], [line for line, _ in find_stop_lines(evidence, rings)]


def _iou(one: Polygon, other: Polygon) -> float:
    return float(one.intersection(other).area / one.union(other).area)


MIXED = [(-5.7, -2.0, CROSSWALK), (-2.0, 3.0, STOP), (3.0, 5.7, OTHER)]


@pytest.mark.parametrize("heading_deg", [0.0, 27.0])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([(-5.7, 5.7, STOP)], [(-5.7, 5.7, STOP)]),
        (MIXED, [(low, high, name) for (low, high, _), name in zip(MIXED, (STOP, CROSSWALK, STOP), strict=True)]),
        (MIXED, [(-5.7, -1.0, STOP), (0.5, 5.7, MARKING)]),
    ],
    ids=["stop lines", "mixed", "worn"],
)
def test_two_lines_from_kerb_to_kerb_are_a_crossing_whatever_they_are_called(first, second, heading_deg):
    canvas = _road(heading_deg=heading_deg)
    _across(canvas, -1.5, first, heading_deg=heading_deg)
    _across(canvas, 1.5, second, heading_deg=heading_deg)
    (crossing,), stops = _found(canvas)
    assert _iou(crossing, rotate(box(-1.65, -5.7, 1.65, 5.7), heading_deg, origin=(0, 0))) > 0.9
    assert not stops


def test_stop_lines_of_two_directions_stay_stop_lines():
    canvas = _road()
    _across(canvas, -2.0, [(0.0, 5.7, STOP)])
    _across(canvas, 2.0, [(-5.7, 0.0, STOP)])
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 2)


def test_the_stop_line_before_a_crossing_of_lines_is_kept():
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-5.7, 5.7, STOP)])
    _across(canvas, -2.8, [(-5.7, 5.7, STOP)])  # as on a road of one direction
    (crossing,), (stop,) = _found(canvas)
    assert _iou(crossing, box(-1.65, -5.7, 1.65, 5.7)) > 0.9
    assert np.allclose(stop[:, 0], -2.8, atol=0.05)


def test_one_line_across_the_whole_road_is_a_stop_line():
    canvas = _road()
    _across(canvas, 0.0, [(-5.7, 5.7, STOP)])
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 1)


def test_where_the_far_side_of_the_road_was_not_seen_nothing_is_inferred():
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-5.7, 5.7, STOP)])
    canvas.hide(canvas.grid.centres()[..., 1] > 2.0)
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 2)


def test_an_island_parts_a_crossing_of_lines():
    canvas = _road(half_width_m=9.0)
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-8.7, 8.7, STOP)])
    canvas.area([(-4, -1), (4, -1), (4, 1), (-4, 1)], RoadClass.OFF_ROAD)
    crossings, stops = _found(canvas)
    assert len(crossings) == 2
    assert not stops
    assert sorted(round(c.centroid.y) for c in crossings) == [-5, 5]


def test_a_zebra_between_two_lines_is_one_crossing():
    canvas = _road()
    for x_m in (-2.0, 2.0):
        _across(canvas, x_m, [(-5.7, 5.7, CROSSWALK)])
    for k in range(11):
        ring = np.asarray(box(-1.6, -5.6 + k, 1.6, -5.1 + k).exterior.coords)[:-1]
        canvas.area(ring, CROSSWALK)
    crossings, _ = _found(canvas)
    assert len(crossings) == 1


def test_a_stop_line_called_crosswalk_does_not_widen_the_zebra_of_a_narrow_road():
    canvas = _road(half_width_m=3.6)
    for k in range(7):
        ring = np.asarray(box(-1.5, -3.3 + k, 1.5, -2.8 + k).exterior.coords)[:-1]
        canvas.area(ring, CROSSWALK)
    _across(canvas, 3.0, [(-0.2, 3.3, CROSSWALK)])
    crossings, _ = _found(canvas)
    assert len(crossings) == 1
    assert _iou(crossings[0], box(-1.5, -3.3, 1.5, 3.2)) > 0.9
