from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from painter import Canvas, distance_to, shifted, street

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.polyline import length_of, resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow

MARKING, OTHER = RoadClass.LANE_MARKING, RoadClass.OTHER_MARKING


def _metres(road_map, element_class="divider") -> float:
    return sum(length_of(e.vertices, closed=e.closed) for e in road_map.of(element_class))


def _traced(canvas: Canvas):
    return trace(canvas.bev(), TraceConfig())


@settings(max_examples=6, deadline=None)
@given(
    angle_deg=st.floats(25.0, 90.0),
    period_m=st.floats(1.2, 4.5),
    width_m=st.floats(0.15, 0.45),
    road_class=st.sampled_from([MARKING, OTHER]),
    radius_m=st.sampled_from([np.inf, 80.0, -80.0]),
)
@example(angle_deg=35.0, period_m=2.5, width_m=0.4, road_class=MARKING, radius_m=80.0)
@example(angle_deg=30.0, period_m=4.5, width_m=0.45, road_class=MARKING, radius_m=np.inf)
@example(angle_deg=45.0, period_m=2.5, width_m=0.4, road_class=MARKING, radius_m=80.0)
def test_bars_between_two_lines_are_hatched_and_the_lines_dividers(angle_deg, period_m, width_m, road_class, radius_m):
    canvas, centre = street(radius_m=radius_m, length_m=44.0, half_width_m=8.0)
    outlines = [shifted(centre, side)[40:-40] for side in (-1.8, 1.8)]
    reach = 1.8 / np.tan(np.radians(angle_deg))
    gap_m = max(period_m, (width_m + 0.5) / np.sin(np.radians(angle_deg)))
    bars_at = np.arange(7.0 + reach, 37.0 - reach, gap_m)
    for at in bars_at:
        low, high = (shifted(centre, side)[round((at + sign * reach) / 0.05)] for side, sign in ((-1.8, -1), (1.8, 1)))
        canvas.stroke(np.array([low, high]), width_m=width_m, road_class=road_class)
    for line in outlines:
        canvas.stroke(line)
    road_map = _traced(canvas)
    assert not road_map.of("stop_line")
    assert len(road_map.of("divider")) == 2
    for divider, line in zip(
        sorted(road_map.of("divider"), key=lambda e: e.vertices[:, 1].mean()), outlines, strict=True
    ):
        assert divider.style == "solid"
        assert distance_to(line, resample(divider.vertices[:, :2], 0.2)).max() < 0.15
        assert length_of(divider.vertices) == pytest.approx(length_of(line), abs=0.5)
    (area,) = road_map.of("hatched")
    hatched_m = shapely.Polygon(area.vertices[:, :2]).intersection(shapely.LineString(centre)).length
    assert abs(hatched_m - (len(bars_at) - 1) * gap_m) < gap_m + 1.0


def test_chevrons_between_two_lines_that_part_are_hatched():
    canvas, centre = street(length_m=50.0, half_width_m=9.0)
    x = centre[60:-20, 0]
    upper = np.stack([x, 0.1 * (x - 3.0)], axis=1)
    canvas.stroke(upper, width_m=0.2)
    canvas.stroke(np.stack([x, np.zeros_like(x)], axis=1), width_m=0.2)
    for at in np.arange(15.0, 47.0, 3.0):
        half = 0.05 * (at - 3.0)
        canvas.stroke(np.array([[at - 0.8 * half, 0.0], [at, half], [at - 0.8 * half, 2 * half]]), width_m=0.5)
    road_map = _traced(canvas)
    assert not road_map.of("stop_line")
    assert len(road_map.of("divider")) == 2
    assert sum(shapely.Polygon(e.vertices[:, :2]).area for e in road_map.of("hatched")) > 40.0


@pytest.mark.parametrize("turn_deg", [45.0, 60.0])
def test_a_box_junction_is_one_hatched_area_without_lines(turn_deg):
    canvas = Canvas(Grid(west_m=-18, north_m=18, cell_m=0.1, width=360, height=360))
    for ring in ([(-18, -6), (18, -6), (18, 6), (-18, 6)], [(-6, -18), (6, -18), (6, 18), (-6, 18)]):
        canvas.area(ring, RoadClass.ROAD)
    box = shapely.box(-5.5, -5.5, 5.5, 5.5)
    for heading in np.radians([turn_deg, turn_deg + 90.0]):
        way, side = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
        for apart in np.arange(-7.0, 7.1, 2.0):
            inside = shapely.LineString([apart * side - 20 * way, apart * side + 20 * way]).intersection(box)
            if inside.length > 1.0:
                canvas.stroke(np.asarray(inside.coords), width_m=0.2)
    canvas.stroke(np.asarray(box.exterior.coords), width_m=0.2)
    road_map = _traced(canvas)
    assert not road_map.of("stop_line")
    assert not road_map.of("divider")
    (area,) = road_map.of("hatched")
    assert shapely.Polygon(area.vertices[:, :2]).intersection(box).area > 0.85 * box.area


@pytest.mark.parametrize(("angle_deg", "deep_m"), [(90.0, 2.2), (90.0, 4.5), (60.0, 4.5), (40.0, 4.5)])
def test_lines_between_parking_bays_are_no_lines_of_traffic(angle_deg, deep_m):
    canvas, centre = street(length_m=44.0, half_width_m=8.0)
    lean = deep_m / np.tan(np.radians(angle_deg))
    for side in (1, -1):
        for at in np.arange(5.0, 38.0 - lean, (5.5 if deep_m < 3 else 2.5) / np.sin(np.radians(angle_deg))):
            canvas.stroke(np.array([[at, 8.0 * side], [at + lean, (8.0 - deep_m) * side]]), width_m=0.12)
    canvas.dashes(centre)
    road_map = _traced(canvas)
    assert not road_map.of("stop_line")
    (divider,) = road_map.of("divider")
    assert np.abs(divider.vertices[:, 1]).max() < 0.15


@pytest.mark.parametrize("hook", [False, True])
def test_arrows_are_no_dividers(hook):
    canvas, _ = street(length_m=40.0, half_width_m=5.0)
    for at in (8.0, 20.0, 32.0):
        if hook:
            canvas.stroke(np.array([[at, 2.5], [at + 2.0, 2.5], [at + 3.0, 3.2]]), width_m=0.15)
            canvas.area([(at + 2.7, 3.3), (at + 3.3, 2.9), (at + 3.6, 3.8)], MARKING)
        else:
            canvas.stroke(np.array([[at, 2.5], [at + 3.0, 2.5]]), width_m=0.2)
            canvas.area([(at + 3.0, 2.0), (at + 3.0, 3.0), (at + 4.8, 2.5)], MARKING)
    assert not _traced(canvas).of("divider")


@pytest.mark.parametrize("period_m", [1.0, 1.8])
def test_a_zebra_called_lane_marking_is_no_row_of_dividers(period_m):
    canvas, _ = street(length_m=30.0, half_width_m=6.0)
    for side in np.arange(-5.4, 5.5, period_m):
        canvas.stroke(np.array([[13.0, side], [17.0, side]]), width_m=0.5)
    road_map = _traced(canvas)
    assert not road_map.of("divider")
    assert not road_map.of("stop_line")


@settings(max_examples=6, deadline=None)
@given(
    lanes=st.integers(2, 6),
    dash_m=st.floats(1.0, 4.0),
    radius_m=st.sampled_from([np.inf, 40.0, -40.0]),
    heading=st.floats(0.0, 3.1),
)
def test_dashes_side_by_side_on_a_wide_road_stay_dividers(lanes, dash_m, radius_m, heading):
    canvas, centre = street(radius_m=radius_m, length_m=40.0, half_width_m=1.6 * lanes + 1.0, heading_rad=heading)
    lines = [shifted(centre, 3.2 * (k - (lanes - 2) / 2)) for k in range(lanes - 1)]
    for line in lines:
        canvas.dashes(line, dash_m=dash_m, gap_m=2 * dash_m)
    road_map = _traced(canvas)
    assert not road_map.of("hatched")
    assert len(road_map.of("divider")) == lanes - 1
    painted_m = [max(np.arange(0.0, length_of(line) - dash_m, 3 * dash_m)) + dash_m for line in lines]
    assert _metres(road_map) > 0.95 * sum(painted_m)


@pytest.mark.parametrize("gap_m", [0.0, 6.0, 9.1])
@pytest.mark.parametrize("half_m", [4.7, 7.0, 9.0])
def test_the_lanes_of_a_side_street_are_not_bars_across_the_main_street(half_m, gap_m):
    canvas = Canvas(Grid(west_m=-22, north_m=30, cell_m=0.1, width=440, height=420))
    canvas.area([(-22, -6), (22, -6), (22, 6), (-22, 6)], RoadClass.ROAD)
    canvas.area([(-half_m, 5.9), (half_m, 5.9), (half_m, 30), (-half_m, 30)], RoadClass.ROAD)
    for x_m in (-half_m / 2, 0.0, half_m / 2):
        canvas.stroke(np.array([[x_m, 9.0], [x_m, 17.0]]), width_m=0.15)
    canvas.stroke(np.array([[-half_m + 0.4, 8.0], [-0.5, 8.0]]), width_m=0.4)
    main = np.stack([np.linspace(-22, 22, 881), np.zeros(881)], axis=1)
    canvas.dashes(main, dash_m=3.0 if gap_m else 44.0, gap_m=gap_m)
    road_map = _traced(canvas)
    assert not road_map.of("hatched")
    assert len([e for e in road_map.of("divider") if np.ptp(e.vertices[:, 1]) > 7.5]) == 3
    assert len(road_map.of("divider")) == 4
    (stop,) = road_map.of("stop_line")
    assert np.abs(stop.vertices[:, 1] - 8.0).max() < 0.15


def test_double_lines_and_a_line_that_branches_off_stay_dividers():
    canvas, centre = street(length_m=40.0, half_width_m=8.0)
    for side in (0.15, -0.15, 3.5, -3.5):
        canvas.stroke(shifted(centre, side), width_m=0.12)
    branch = np.array([[10.0, -3.5], [20.0, -4.5], [38.0, -7.2]])
    canvas.stroke(branch)
    road_map = _traced(canvas)
    assert not road_map.of("hatched")
    assert _metres(road_map) > 3 * 38.0 + 22.0


@pytest.mark.parametrize("turn_deg", [25.0, 40.0, 50.0])
@pytest.mark.parametrize(("width_m", "certainty"), [(0.75, 0.4), (0.9, 0.3)])
def test_haze_of_dashes_seen_from_afar_is_no_hatching(turn_deg, width_m, certainty):
    """Views from the far lane smear each dash along the line of sight: side by side, but wide and faint."""
    canvas, centre = street(length_m=60.0, half_width_m=8.0)
    canvas.stroke(centre)
    turn = np.radians(turn_deg)
    for x in np.arange(20.0, 32.0, 2.5):
        half = 1.5 * np.array([np.cos(turn), np.sin(turn)])
        middle = np.array([x, 4.5])
        canvas.stroke(np.array([middle - half, middle + half]), width_m=width_m, strength=certainty)
    road_map = _traced(canvas)
    assert not road_map.of("hatched")
    assert max(length_of(e.vertices) for e in road_map.of("divider")) == pytest.approx(60.0, abs=1.0)


@pytest.mark.parametrize("turn_deg", [15.0, 25.0])
@pytest.mark.parametrize("haze", [0.36, 0.38])
def test_a_dash_with_haze_beside_it_is_no_sign(turn_deg, haze):
    canvas, centre = street(length_m=30.0, half_width_m=6.0)
    half = 1.2 * np.array([np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))])
    middle = np.array([15.0, 0.3])
    canvas.stroke(np.array([middle - half, middle + half]), width_m=0.9, strength=haze)
    canvas.stroke(centre[270:341], width_m=0.3, strength=0.9)
    (dash,) = _traced(canvas).of("divider")
    assert length_of(dash.vertices) == pytest.approx(3.5, abs=0.6)


def test_strokes_beside_the_gaps_of_a_dashed_line_are_no_stripes_of_a_zebra():
    canvas, centre = street(length_m=44.0, half_width_m=6.0)
    for first in np.arange(4.0, 38.0, 6.0):
        canvas.stroke(centre[round(first / 0.05) : round((first + 3.0) / 0.05)])
    for first in (13.0, 19.0, 25.0):  # the shafts of arrows in the lane
        shaft = shifted(centre, -1.4)[round(first / 0.05) : round((first + 3.0) / 0.05)]
        canvas.stroke(shaft, width_m=0.2, road_class=OTHER)
    road_map = _traced(canvas)
    assert not road_map.of("hatched")
    assert _metres(road_map) == pytest.approx(33.0, abs=0.5)


@pytest.mark.parametrize("heading_rad", [0.0, 0.47])
@pytest.mark.parametrize("long_m", [8.0, 15.0])
def test_the_outline_of_a_bus_stop_is_no_line_of_traffic(heading_rad, long_m):
    canvas, centre = street(length_m=40.0, half_width_m=6.0, heading_rad=heading_rad)
    outer, inner = (shifted(centre, side)[200 : 200 + round(long_m / 0.05)] for side in (-5.6, -2.8))
    canvas.stroke(np.concatenate([outer, inner[::-1], outer[:1]]), width_m=0.12)
    canvas.stroke(centre)
    road_map = _traced(canvas)
    assert not road_map.of("stop_line")
    assert _metres(road_map) == pytest.approx(40.0, abs=0.5)


@pytest.mark.parametrize(("period_m", "swing_m"), [(4.0, 0.25), (4.0, 0.4), (2.0, 0.25)])
def test_zigzag_lines_are_no_dividers(period_m, swing_m):
    canvas, centre = street(length_m=40.0, half_width_m=6.0, heading_rad=0.47)
    at = np.arange(8.0, 32.0, period_m / 2)
    for side in (-5.0, 0.0):
        ends = [shifted(centre, side + swing_m * (-1) ** k)[round(x / 0.05)] for k, x in enumerate(at)]
        canvas.stroke(np.array(ends), width_m=0.12)
    assert not _traced(canvas).of("divider")
