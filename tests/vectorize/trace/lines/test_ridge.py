from __future__ import annotations

import numpy as np
import pytest
from painter import arc, distance_to, shifted, street

from vectorize.polyline import length_of, resample
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def lengths(road_map: RoadMap, name: str) -> list[float]:
    return [length_of(e.vertices, closed=e.closed) for e in road_map.of(name)]


@pytest.mark.parametrize("radius_m", [np.inf, 80.0])
def test_a_solid_line_is_found_to_a_fraction_of_a_cell(radius_m):
    canvas, centre = street(radius_m=radius_m, heading_rad=0.37)
    line = shifted(centre, 1.234)
    canvas.stroke(line)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    assert length_of(divider.vertices) == pytest.approx(length_of(line), abs=0.4)
    # The raster error is measured before simplification, whose tolerance is 0.1 m.
    (fine,) = trace(canvas.bev(), TraceConfig(simplify_m=0.001)).of("divider")
    # The last decimetre may stand out beyond the paint's end: it is measured by the length.
    dense = resample(fine.vertices[:, :2], 0.1)[2:-2]
    assert np.median(distance_to(line, dense)) < 0.02
    assert distance_to(line, dense).max() < 0.06
    assert distance_to(line, resample(divider.vertices[:, :2], 0.1)).max() < 0.16
    assert divider.seen.all()
    assert 0.5 < divider.score <= 1


def test_a_short_line_at_an_angle_has_no_stairs():
    canvas, centre = street(length_m=16.0, half_width_m=3.0, heading_rad=0.3)
    canvas.stroke(centre[100:180])
    (short,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert len(short.vertices) == 2
    assert distance_to(centre, short.vertices).max() < 0.1


def test_a_branch_is_kept_where_a_lane_begins():
    canvas, centre = street()
    canvas.stroke(centre)
    branch = arc(radius_m=90.0, length_m=25.0, start=(25.0, 0.0))
    canvas.stroke(branch)
    dividers = trace(canvas.bev(), TraceConfig()).of("divider")
    straight, found = sorted(dividers, key=lambda e: -length_of(e.vertices))
    # The straight line goes on as one: when it was led into the branch, what was left of it was the shorter one.
    assert length_of(straight.vertices) == pytest.approx(60.0, abs=0.4)
    assert distance_to(centre, straight.vertices).max() < 0.1
    # Both are one ridge until their axes are twice a line's width apart: so far on, sqrt(2 * 90 m * 0.3 m).
    assert length_of(found.vertices) > 25.0 - 7.35
    assert distance_to(branch, resample(found.vertices[:, :2], 0.2)).max() < 0.2


@pytest.mark.parametrize(("turn_deg", "count"), [(20.0, 1), (60.0, 2)])
def test_paint_that_turns_sharply_is_two_lines(turn_deg, count):
    canvas, centre = street(length_m=40.0, half_width_m=15.0)
    canvas.stroke(centre[80:401])
    way = np.radians(turn_deg)
    canvas.stroke(np.array([[20.0, 0.0], [20.0 + 16.0 * np.cos(way), 16.0 * np.sin(way)]]))
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count
