from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas, arc, shifted, street
from shapely import LineString, Point, box

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.trace.road_sides import RoadSides
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

STOP = RoadClass.STOP_LINE


def stop_lines(canvas: Canvas):
    return trace(canvas.bev(), TraceConfig()).of("stop_line")


@pytest.mark.parametrize("radius_m", [np.inf, 40.0])
def test_a_line_runs_along_a_side_or_across_and_its_distance_is_that_to_the_nearest(radius_m):
    centre = arc(radius_m=radius_m, length_m=40.0)
    sides = RoadSides.of([shifted(centre, 4.0), shifted(centre, -4.0)])
    along = shifted(centre, 1.5)[300:360]
    assert sides.beside(along) == pytest.approx(2.5, abs=0.05)
    assert sides.beside(along[::-1]) == pytest.approx(2.5, abs=0.05)
    assert sides.beside(np.stack([shifted(centre, 1.5)[300], shifted(centre, 3.9)[340]])) is None  # towards the kerb
    across = np.stack([shifted(centre, k)[400] for k in (-3.5, 3.5)])
    assert sides.beside(across) is None


def test_without_a_side_nearby_nobody_knows_which_way_a_line_runs():
    line = np.array([[0.0, 0.0], [3.0, 0.0]])
    assert RoadSides.of([]).beside(line) is None
    assert RoadSides.of([np.array([[0.0, 20.0], [30.0, 20.0]])]).beside(line) is None


def test_paint_along_the_lane_that_is_called_stop_line_is_none_and_that_across_it_is_one():
    canvas, _ = street(length_m=40.0, half_width_m=4.0)
    canvas.stroke(np.array([[10.0, 2.0], [13.0, 2.0]]), width_m=0.4, road_class=STOP)  # the shaft of an arrow
    canvas.stroke(np.array([[25.0, 0.3], [25.0, 3.7]]), width_m=0.4, road_class=STOP)
    (found,) = stop_lines(canvas)
    assert np.abs(found.vertices[:, 0] - 25.0).max() < 0.1


def test_an_edge_line_that_is_called_stop_line_becomes_a_divider():
    canvas, centre = street(length_m=40.0, half_width_m=4.0)
    canvas.stroke(shifted(centre, 3.6), road_class=RoadClass.LANE_MARKING)
    canvas.stroke(shifted(centre, 3.6)[300:560], width_m=0.25, road_class=STOP)
    road_map = trace(canvas.bev(), TraceConfig())
    assert not road_map.of("stop_line")
    (divider,) = road_map.of("divider")
    assert LineString(divider.vertices[:, :2]).distance(Point(20.0, 3.6)) < 0.1
    assert LineString(divider.vertices[:, :2]).length > 36.0


@pytest.mark.parametrize("angle_deg", [50.0, 60.0, 75.0, 90.0])
@pytest.mark.parametrize("half_m", [1.8, 5.0])
@pytest.mark.parametrize("road_class", [STOP, RoadClass.LANE_MARKING])
def test_a_stop_line_at_the_mouth_of_a_skew_side_street_is_one(angle_deg, half_m, road_class):
    """It lies along the main street, and the rounded kerb beside it points every way."""
    canvas = Canvas(Grid(west_m=-30, north_m=25, cell_m=0.1, width=600, height=350))
    main = box(-28, -half_m, 28, half_m)
    way = np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
    side = LineString([(0, 0), 26 * way]).buffer(3.5, cap_style="flat")
    road = main.union(side).buffer(5).buffer(-5)
    canvas.area(np.asarray(road.exterior.coords)[:-1], RoadClass.ROAD)
    canvas.stroke(np.stack([(half_m + 7) * way / way[1], 22 * way]))
    y = half_m + 1.0  # parallel to the main street, in the lane that leads to it
    left = (y / np.tan(np.radians(angle_deg))) - 3.2 / np.sin(np.radians(angle_deg))
    ends = np.array([[left, y], [left + 3.0 / np.sin(np.radians(angle_deg)), y]])
    canvas.stroke(ends, width_m=0.4, road_class=road_class)
    road_map = trace(canvas.bev(), TraceConfig())
    line = LineString(ends)
    if road_class is STOP:
        assert any(LineString(e.vertices[:, :2]).hausdorff_distance(line) < 0.5 for e in road_map.of("stop_line"))
    for divider in road_map.of("divider"):
        assert LineString(divider.vertices[:, :2]).intersection(line.buffer(0.3)).length < 1.0


def test_a_narrow_separator_is_an_island():
    canvas, _ = street(length_m=40.0, half_width_m=6.0)
    canvas.area(np.asarray(box(15.0, -0.25, 18.0, 0.25).exterior.coords)[:-1], RoadClass.OFF_ROAD)
    assert any(e.closed for e in trace(canvas.bev(), TraceConfig()).of("boundary"))


def test_edge_lines_of_a_side_street_are_dividers_though_they_lie_across_those_of_the_main_street():
    canvas = Canvas(Grid(west_m=-30, north_m=25, cell_m=0.1, width=600, height=350))
    for part in (box(-28, -5, 28, 5), box(-5, 0, 5, 24)):
        canvas.area(np.asarray(part.exterior.coords)[:-1], RoadClass.ROAD)
    for y in (-4.5, 0.0):
        canvas.stroke(np.array([[-27.0, y], [27.0, y]]))
    for x in (-4.5, 4.5):
        canvas.stroke(np.array([[x, 8.0], [x, 16.0]]), width_m=0.3)
    road_map = trace(canvas.bev(), TraceConfig())
    assert not road_map.of("stop_line")
    dividers = [LineString(e.vertices[:, :2]) for e in road_map.of("divider")]
    for x in (-4.5, 4.5):
        assert min(line.distance(Point(x, 12.0)) for line in dividers) < 0.15


@pytest.mark.parametrize(
    ("size_m", "road_class", "rings"),
    [
        (0.9, RoadClass.OFF_ROAD, 0),  # too small for an island
        (2.0, RoadClass.OFF_ROAD, 1),
        (4.0, RoadClass.ROAD, 0),  # a patch that the net took for road, beside the road
        (6.0, RoadClass.ROAD, 1),
    ],
)
def test_specks_of_the_wrong_class_are_no_islands_and_no_roads(size_m, road_class, rings):
    canvas = Canvas(Grid(west_m=-20, north_m=20, cell_m=0.1, width=400, height=400))
    canvas.area(np.asarray(box(-18, -10, 18, 0).exterior.coords)[:-1], RoadClass.ROAD)
    y = -5.0 if road_class is RoadClass.OFF_ROAD else 8.0
    half = size_m / 2
    canvas.area(np.asarray(box(-half, y - half, half, y + half).exterior.coords)[:-1], road_class)
    boundaries = trace(canvas.bev(), TraceConfig(min_boundary_m=2.0)).of("boundary")
    near = [e for e in boundaries if np.hypot(*(e.vertices[:, :2] - (0.0, y)).T).max() < size_m]
    assert len(near) == rings


def test_the_shaft_of_an_arrow_in_the_middle_of_a_lane_is_not_an_edge_line():
    canvas, _ = street(length_m=40.0, half_width_m=4.0)
    canvas.stroke(np.array([[10.0, 2.0], [16.0, 2.0]]), width_m=0.3, road_class=STOP)
    road_map = trace(canvas.bev(), TraceConfig())
    assert not road_map.of("stop_line")
    assert not road_map.of("divider")
