from __future__ import annotations

import numpy as np
import pytest
from painter import Canvas, distance_to, shifted, street
from shapely import box

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.polyline import length_of, resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


def test_a_worn_edge_line_follows_the_kerb():
    canvas, centre = street(radius_m=100.0, length_m=70.0)
    line = shifted(centre, -5.5)
    canvas.stroke(line[:400])
    canvas.stroke(line[-400:])
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert length_of(divider.vertices) == pytest.approx(length_of(line), abs=0.6)
    assert distance_to(line, resample(divider.vertices[:, :2], 0.2)).max() < 0.25
    assert len(trace(canvas.bev(), TraceConfig(guided_gap_m=0.0)).of("divider")) == 2


def test_a_line_far_from_the_kerb_does_not_follow_it():
    canvas, centre = street(radius_m=100.0, length_m=70.0)
    line = shifted(centre, -2.0)  # 5 m from the kerb
    canvas.stroke(line[:400])
    canvas.stroke(line[-400:])
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == 2


def test_no_edge_line_is_led_round_a_street_corner():
    canvas = Canvas(Grid(west_m=-30, north_m=25, cell_m=0.1, width=600, height=350))
    rounded = np.asarray(box(-28, -5, 28, 5).union(box(-5, 0, 5, 24)).buffer(5).buffer(-5).exterior.coords)
    canvas.area(rounded[:-1], RoadClass.ROAD)
    for line in ([[-27.0, 4.5], [-12.0, 4.5]], [[-4.5, 12.0], [-4.5, 22.0]]):
        canvas.stroke(np.array(line))
    dividers = trace(canvas.bev(), TraceConfig()).of("divider")
    assert sorted(round(length_of(e.vertices)) for e in dividers) == [10, 15]
