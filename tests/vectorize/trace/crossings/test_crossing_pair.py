from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas
from shapely import LineString, Polygon, box
from shapely.affinity import rotate

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.evidence import Evidence
from vectorize.trace.crossings.crossing_pair import find_line_pairs
from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace.crossings.stop_line import find_stop_lines
from vectorize.trace.road_sides import RoadSides
from vectorize.trace.trace import trace
from vectorize.trace_config import CrossingPairConfig, StopLineConfig, TraceConfig

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


def _zebra(canvas: Canvas) -> None:
    """Paint stripes over the width of the road."""
    for k in range(11):
        canvas.area(np.asarray(box(-1.6, -5.6 + k, 1.6, -5.1 + k).exterior.coords)[:-1], CROSSWALK)


def _found(canvas: Canvas) -> tuple[list[Polygon], list[np.ndarray]]:
    evidence = Evidence.of(canvas.bev(), min_views=1)
    rings = [ring for ring, _ in find_crossings(evidence, TraceConfig())]
    return [Polygon(ring) for ring in rings], [
        line for line, _ in find_stop_lines(evidence, rings, RoadSides.of([]), StopLineConfig())[0]
    ]


def _iou(one: Polygon, other: Polygon) -> float:
    return float(one.intersection(other).area / one.union(other).area)


MIXED = [(-5.7, -2.0, CROSSWALK), (-2.0, 3.0, STOP), (3.0, 5.7, OTHER)]
ONE_WAY = [(-5.7, 5.7, STOP)]


@pytest.mark.parametrize("heading_deg", [0.0, 27.0])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MIXED, [(-5.7, 5.7, STOP)]),
        (MIXED, [(low, high, name) for (low, high, _), name in zip(MIXED, (STOP, CROSSWALK, STOP), strict=True)]),
        (MIXED, [(-5.7, -1.0, STOP), (0.5, 5.7, MARKING)]),
    ],
    ids=["half", "mixed", "worn"],
)
def test_two_lines_from_kerb_to_kerb_are_a_crossing_though_only_parts_are_called_so(first, second, heading_deg):
    canvas = _road(heading_deg=heading_deg)
    _across(canvas, -1.5, first, heading_deg=heading_deg)
    _across(canvas, 1.5, second, heading_deg=heading_deg)
    (crossing,), stops = _found(canvas)
    assert _iou(crossing, rotate(box(-1.65, -5.7, 1.65, 5.7), heading_deg, origin=(0, 0))) > 0.9
    assert not stops
    traced = trace(canvas.bev(), TraceConfig())
    assert len(traced.of("ped_crossing")) == 1
    assert not traced.of("stop_line")
    assert not traced.of("divider")


def test_stop_lines_of_two_directions_stay_stop_lines():
    canvas = _road()
    _across(canvas, -2.0, [(0.0, 5.7, STOP)])
    _across(canvas, 2.0, [(-5.7, 0.0, STOP)])
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 2)


def test_two_stop_lines_of_a_road_of_one_direction_stay_stop_lines():
    canvas = _road()
    for x_m in (-2.0, 2.0):  # a box for bicycles
        _across(canvas, x_m, ONE_WAY)
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 2)


@pytest.mark.parametrize("apart_m", [1.3, 1.6, 2.0, 2.5, 3.2])
@pytest.mark.parametrize("lines", [[(-5.7, 5.7, CROSSWALK)], MIXED], ids=["sure", "mixed"])
def test_the_stop_line_before_a_crossing_of_lines_is_kept(lines, apart_m):
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, lines)
    _across(canvas, -1.5 - apart_m, ONE_WAY)
    (crossing,), (stop,) = _found(canvas)
    assert _iou(crossing, box(-1.65, -5.7, 1.65, 5.7)) > 0.9
    assert np.allclose(stop[:, 0], -1.5 - apart_m, atol=0.05)


def test_one_line_across_the_whole_road_is_a_stop_line():
    canvas = _road()
    _across(canvas, 0.0, MIXED)
    crossings, stops = _found(canvas)
    assert (len(crossings), len(stops)) == (0, 1)


@pytest.mark.parametrize("hidden", ["beyond", "a strip", "behind a vehicle"])
def test_where_a_side_of_the_road_was_not_seen_nothing_is_inferred(hidden):
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, MIXED)
    y = canvas.grid.centres()[..., 1]
    if hidden == "behind a vehicle":
        canvas.area([(-13, 2.0), (13, 2.0), (13, 4.5), (-13, 4.5)], RoadClass.BACKGROUND)
    else:
        canvas.hide((y > 2.0) & (y < (20.0 if hidden == "beyond" else 2.8)))
    assert not find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig())


@pytest.mark.parametrize("road_class", [OTHER, CROSSWALK])
def test_paint_along_the_road_and_beside_it_is_no_crossing(road_class):
    canvas = _road()
    for y_m in (-1.7, 1.7):
        canvas.stroke(np.array([[-12.5, y_m], [12.5, y_m]]), width_m=0.15, road_class=MARKING)
        canvas.stroke(np.array([[-4.0, y_m], [8.0, y_m]]), width_m=0.15, road_class=road_class)
    for x_m in (-5.0, -2.5, 0.0):
        canvas.stroke(np.array([[x_m, 8.0], [x_m, 13.0]]), width_m=0.15, road_class=road_class)
    evidence = Evidence.of(canvas.bev(), min_views=1)
    assert not find_line_pairs(evidence, CrossingPairConfig())


def test_bars_across_the_road_are_no_crossing():
    canvas = _road()
    for x_m in np.arange(-4.0, 5.0, 2.0):
        _across(canvas, x_m, [(-5.7, 5.7, OTHER)])
    assert not _found(canvas)[0]


def test_an_island_parts_a_crossing_of_lines():
    canvas = _road(half_width_m=9.0)
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-8.7, 3.0, CROSSWALK), (3.0, 8.7, STOP)])
    canvas.area([(-4, -1), (4, -1), (4, 1), (-4, 1)], RoadClass.OFF_ROAD)
    canvas.stroke(np.array([[-1.5, 1.3], [-1.5, 8.7]]), width_m=0.3, road_class=CROSSWALK)
    crossings, stops = _found(canvas)
    assert sorted(round(c.centroid.y) for c in crossings) == [-5, 5]
    assert not stops


def test_a_zebra_between_two_lines_is_one_crossing():
    canvas = _road()
    for x_m in (-2.0, 2.0):
        _across(canvas, x_m, [(-5.7, 5.7, CROSSWALK)])
    _zebra(canvas)
    crossings, _ = _found(canvas)
    assert len(crossings) == 1


def test_a_zebra_half_taken_for_stop_lines_is_one_crossing_still():
    canvas = _road()
    _zebra(canvas)
    half = canvas.probability[..., CROSSWALK] * 0.55
    canvas.probability[..., CROSSWALK] -= half
    canvas.probability[..., STOP] += half
    (crossing,), _ = _found(canvas)
    assert _iou(crossing, box(-1.6, -5.6, 1.6, 4.9)) > 0.9


def test_faint_paint_on_a_sliver_of_road_is_nothing():
    canvas = _road(half_width_m=0.05)
    canvas.stroke(np.array([[0.0, -5.7], [0.0, 5.7]]), width_m=0.3, road_class=OTHER, strength=0.3)
    assert not _found(canvas)[0]


@pytest.mark.parametrize(("turn_deg", "count"), [(0.0, 1), (7.0, 1), (20.0, 0)])
def test_two_lines_at_an_angle_are_no_crossing(turn_deg, count):
    canvas = _road()
    _across(canvas, -1.5, MIXED)
    half = 5.8 * np.tan(np.radians(turn_deg))
    canvas.stroke(np.array([[1.5 - half, -5.8], [1.5 + half, 5.8]]), width_m=0.3, road_class=CROSSWALK)
    assert len(find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig())) == count


def test_two_lines_that_face_each_other_over_half_their_length_are_no_crossing():
    """Each goes from kerb to kerb on a road that runs aslant to them."""
    counts = []
    for slope in (0.25, 0.9):  # of the road, so that the second line lies farther along the first one's direction
        canvas = Canvas(Grid(west_m=-20, north_m=20, cell_m=0.1, width=400, height=400))
        low, high = -4.0, 4.0
        ends = [(x, slope * x + side) for side, row in ((low, (-9, 9)), (high, (9, -9))) for x in row]
        canvas.area(ends, RoadClass.ROAD)
        for x_m in (-2.4, 2.4):
            line = np.array([[x_m, slope * x_m + low + 0.2], [x_m, slope * x_m + high - 0.2]])
            canvas.stroke(line, width_m=0.3, road_class=CROSSWALK)
        counts.append(len(find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig())))
    assert counts == [1, 0]


@pytest.mark.parametrize(("apart_m", "count"), [(1.0, 0), (2.0, 1), (4.5, 1), (5.5, 0)])
def test_the_lines_of_a_crossing_leave_room_for_people(apart_m, count):
    canvas = _road()
    for x_m in (-apart_m / 2, apart_m / 2):
        _across(canvas, x_m, MIXED)
    assert len(find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig())) == count


@pytest.mark.parametrize(("end_m", "count"), [(5.4, 1), (3.2, 0)])
def test_lines_that_end_before_the_kerb_are_no_crossing(end_m, count):
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-5.7, end_m, CROSSWALK)])
    assert len(find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig())) == count


def _pairs(canvas: Canvas) -> int:
    return len(find_line_pairs(Evidence.of(canvas.bev(), min_views=1), CrossingPairConfig()))


@pytest.mark.parametrize(("half_m", "count"), [(1.0, 1), (2.5, 0)])
def test_two_lines_with_a_painted_area_between_them_are_no_crossing_of_lines(half_m, count):
    canvas = _road()
    for x_m in (-2.2, 2.2):
        _across(canvas, x_m, MIXED)
    canvas.area(np.array([[-1.2, -half_m], [1.2, -half_m], [1.2, half_m], [-1.2, half_m]]), OTHER)
    assert _pairs(canvas) == count


@pytest.mark.parametrize(("own_m", "count"), [(8.0, 1), (2.4, 0)])
def test_two_lines_of_lane_marking_with_a_piece_of_another_class_are_no_crossing(own_m, count):
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-5.7, -5.7 + own_m, CROSSWALK), (-5.7 + own_m, 5.7, MARKING)])
    assert _pairs(canvas) == count


@pytest.mark.parametrize(("worn_m", "count"), [(2.0, 1), (6.0, 0)])
def test_two_lines_worn_over_half_the_road_are_no_crossing(worn_m, count):
    canvas = _road()
    for x_m in (-1.5, 1.5):
        _across(canvas, x_m, [(-5.7, -worn_m / 2, CROSSWALK), (worn_m / 2, 5.7, CROSSWALK)])
    assert _pairs(canvas) == count


def _junction_of_line_pairs(heading_deg: float, *, stripes: bool = False) -> tuple[Canvas, list[Polygon]]:
    """Return four crossings of two lines whose inner lines meet at the corners, and their outlines."""
    canvas = Canvas(Grid(west_m=-24, north_m=24, cell_m=0.1, width=480, height=480))
    arms = [rotate(box(-20, -6, 20, 6), heading_deg + turn, origin=(0, 0)) for turn in (0, 90)]
    for arm in arms:
        canvas.area(np.asarray(arm.exterior.coords)[:-1], RoadClass.ROAD)
    outlines = []
    for turn in (0, 90, 180, 270):
        for x_m in (6.3, 9.3):
            _across(canvas, x_m, [(-6.0, 6.0, CROSSWALK)], heading_deg=heading_deg + turn)
        for y_m in np.arange(-5.5, 5.6, 1.2) if stripes else ():
            stripe = rotate(LineString([(6.3, y_m), (9.3, y_m)]), heading_deg + turn, origin=(0, 0))
            canvas.stroke(np.asarray(stripe.coords), width_m=0.4, road_class=CROSSWALK)
        outlines.append(rotate(box(6.15, -6.0, 9.45, 6.0), heading_deg + turn, origin=(0, 0)))
    return canvas, outlines


@pytest.mark.slow
@pytest.mark.parametrize("stripes", [False, True], ids=["lines", "ladders"])
@pytest.mark.parametrize("heading_deg", [0.0, 17.0])
def test_crossings_of_lines_that_meet_at_the_corners_of_a_junction_are_each_found(heading_deg, stripes):
    canvas, outlines = _junction_of_line_pairs(heading_deg, stripes=stripes)
    crossings, stops = _found(canvas)
    assert len(crossings) == 4
    assert all(max(_iou(crossing, outline) for crossing in crossings) > 0.75 for outline in outlines)
    assert not stops
