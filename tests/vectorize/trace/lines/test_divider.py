from __future__ import annotations

import itertools

import numpy as np
import pytest
from painter import arc, distance_to, shifted, street
from shapely import LineString

from recon.classes import RoadClass
from vectorize.polyline import length_of, resample
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def lengths(road_map: RoadMap, name: str) -> list[float]:
    return [length_of(e.vertices, closed=e.closed) for e in road_map.of(name)]


def _along(element) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(element.vertices[:, 0])
    return element.vertices[order, 0], element.seen[order].astype(float)


def assert_no_crossing(road_map: RoadMap) -> None:
    lines = [LineString(e.vertices[:, :2]) for e in road_map.of("divider")]
    assert not any(a.crosses(b) for a, b in itertools.combinations(lines, 2))


def test_a_sideways_step_is_not_bridged():
    canvas, centre = street()
    along = centre[:, 0]
    canvas.stroke(centre[along < 25])
    canvas.stroke(shifted(centre, 0.9)[along > 29])
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == 2


def test_a_bridge_never_crosses_a_divider():
    canvas, centre = street()
    canvas.stroke(arc(radius_m=np.inf, length_m=14.0, start=(25.0, -5.0), heading_rad=0.8))
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    road_map = trace(canvas.bev(), TraceConfig())
    assert len(road_map.of("divider")) >= 3
    assert_no_crossing(road_map)


def test_painted_lines_that_cross_do_not_cross_in_the_map():
    canvas, centre = street()
    canvas.stroke(centre)
    canvas.stroke(arc(radius_m=np.inf, length_m=20.0, start=(20.0, -4.0), heading_rad=0.42))
    road_map = trace(canvas.bev(), TraceConfig())
    assert_no_crossing(road_map)
    assert sum(lengths(road_map, "divider")) > 75.0


def test_an_occluded_solid_line_stays_solid_and_says_what_was_not_seen():
    canvas, centre = street()
    canvas.stroke(centre)
    x = canvas.grid.centres()[..., 0]
    canvas.hide((x > 18) & (x < 23))
    canvas.hide((x > 38) & (x < 43))
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "solid"
    hidden = [np.interp(at, *_along(divider)) for at in (18.2, 20.5, 22.8, 38.2, 42.8)]
    seen = [np.interp(at, *_along(divider)) for at in (5.0, 17.8, 23.2, 30.0, 37.8, 43.2, 55.0)]
    assert max(hidden) < 0.01
    assert min(seen) > 0.99
    assert divider.confidence[~divider.seen].max() < divider.confidence[divider.seen].max() / 2


def test_two_lines_side_by_side_are_one_double_divider():
    canvas, centre = street()
    canvas.stroke(shifted(centre, 0.2))
    canvas.stroke(shifted(centre, -0.2))
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "double"
    assert distance_to(centre, resample(divider.vertices[:, :2], 0.2)).max() < 0.15


def test_a_single_dash_of_faint_paint_is_haze_and_a_strong_one_a_divider():
    counts = []
    for strength in (0.3, 0.4, 0.8):
        canvas, centre = street(length_m=16.0, half_width_m=3.0)
        canvas.stroke(centre[120:200], width_m=0.25, strength=strength)
        counts.append(len(trace(canvas.bev(), TraceConfig()).of("divider")))
    assert counts == [0, 0, 1]


@pytest.mark.parametrize(("width_m", "count"), [(0.3, 1), (1.0, 0)])
def test_a_patch_wider_than_any_line_is_not_a_divider(width_m, count):
    canvas, _ = street(length_m=16.0, half_width_m=3.0)
    away = np.abs(canvas.grid.centres()[..., 1])
    here = np.abs(canvas.grid.centres()[..., 0] - 8.0) < 2.5
    canvas._paint(np.where(here, np.clip(1.0 - away / width_m, 0.0, 1.0), 0.0), RoadClass.LANE_MARKING)
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


@pytest.mark.parametrize(("apart_m", "count"), [(0.45, 1), (1.0, 2)])
def test_two_lines_a_step_apart_are_two_dividers(apart_m, count):
    canvas, centre = street(length_m=20.0, half_width_m=3.0)
    for side in (-apart_m / 2, apart_m / 2):
        canvas.stroke(shifted(centre, side))
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count
