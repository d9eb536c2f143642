from __future__ import annotations

import numpy as np
import pytest
from painter import shifted, street

from recon.classes import RoadClass
from vectorize.polyline import length_of
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def test_stop_lines_of_their_own_class_and_painted_as_marking():
    for road_class in (RoadClass.STOP_LINE, RoadClass.LANE_MARKING):
        canvas, centre = street()
        canvas.stroke(centre)
        canvas.stroke(shifted(centre, -3.5))
        canvas.stroke(np.array([[50.0, -3.1], [50.0, -0.4]]), width_m=0.45, road_class=road_class)
        road_map = trace(canvas.bev(), TraceConfig())
        (stop,) = road_map.of("stop_line")
        assert np.abs(stop.vertices[:, 0] - 50.0).max() < 0.15
        assert length_of(stop.vertices) == pytest.approx(2.9, abs=0.7)
        assert len(road_map.of("divider")) == 2


@pytest.mark.parametrize(("width_m", "count"), [(0.4, 1), (0.12, 0)])
def test_thin_paint_across_a_lane_is_not_a_stop_line(width_m, count):
    canvas, centre = street(length_m=30.0)
    canvas.stroke(centre)
    canvas.stroke(shifted(centre, -3.5))
    canvas.stroke(np.array([[20.0, -3.1], [20.0, -0.4]]), width_m=width_m)
    road_map = trace(canvas.bev(), TraceConfig())
    assert len(road_map.of("stop_line")) == count
    assert len(road_map.of("divider")) == 2


@pytest.mark.parametrize(("length_m", "count"), [(1.2, 0), (2.6, 1)])
def test_a_patch_of_stop_line_paint_shorter_than_a_lane_is_dropped(length_m, count):
    canvas, _ = street(length_m=20.0, half_width_m=4.0)
    canvas.stroke(np.array([[10.0, 0.4], [10.0, 0.4 + length_m]]), width_m=0.4, road_class=RoadClass.STOP_LINE)
    assert len(trace(canvas.bev(), TraceConfig()).of("stop_line")) == count
