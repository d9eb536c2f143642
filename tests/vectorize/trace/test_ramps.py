from __future__ import annotations

import numpy as np
import pytest
from painter import distance_to, shifted, street

from recon.classes import RoadClass
from vectorize.polyline import resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


@pytest.mark.parametrize("along", [True, False], ids=["stripes along the road", "stripes across the road"])
@pytest.mark.parametrize("radius_m", [np.inf, 40.0])
@pytest.mark.parametrize("over_m", [0.0, 0.4, 1.0, 1.6])
def test_the_kerb_goes_on_under_stripes_that_run_over_it(over_m, radius_m, along):
    canvas, centre = street(radius_m=radius_m, length_m=36.0, half_width_m=5.0)
    low, high = -5.0 - over_m, 5.0 + over_m
    if along:
        for side in np.arange(low, high - 0.4, 1.1):
            canvas.stroke(shifted(centre, side + 0.25)[300:370], width_m=0.5, road_class=RoadClass.CROSSWALK)
    else:
        for k in range(300, 371, 22):
            bar = np.array([shifted(centre, low)[k], shifted(centre, high)[k]])
            canvas.stroke(bar, width_m=0.5, road_class=RoadClass.CROSSWALK)
    boundaries = trace(canvas.bev(), TraceConfig()).of("boundary")
    for side in (-5.0, 5.0):
        kerb = shifted(centre, side)
        rings = [e.vertices[[*range(len(e.vertices)), 0], :2] if e.closed else e.vertices[:, :2] for e in boundaries]
        points = np.concatenate([resample(ring, 0.2) for ring in rings])
        beside = points[distance_to(kerb[240:430], points) < 2.5]
        assert distance_to(kerb, beside).max() < 0.25
        assert len(beside) * 0.2 > 9.0


def test_a_plain_crossing_that_ends_at_the_kerb_does_not_move_it():
    canvas, _ = street(length_m=36.0, half_width_m=5.0)
    canvas.area([(15, -5), (19, -5), (19, 5), (15, 5)], RoadClass.CROSSWALK)
    for element in trace(canvas.bev(), TraceConfig()).of("boundary"):
        middle = resample(element.vertices[:, :2], 0.2)
        middle = middle[(middle[:, 0] > 5) & (middle[:, 0] < 31)]
        assert np.abs(np.abs(middle[:, 1]) - 5.0).max(initial=0.0) < 0.1


def test_the_kerb_goes_on_under_a_plain_crossing_that_runs_over_it():
    canvas, _ = street(length_m=36.0, half_width_m=5.0)
    canvas.area([(15, -7), (19, -7), (19, 6), (15, 6)], RoadClass.CROSSWALK)
    (ring,) = trace(canvas.bev(), TraceConfig()).of("boundary")
    middle = resample(ring.vertices[[*range(len(ring.vertices)), 0], :2], 0.2)
    middle = middle[(middle[:, 0] > 5) & (middle[:, 0] < 31)]
    assert np.abs(np.abs(middle[:, 1]) - 5.0).max() < 0.2
