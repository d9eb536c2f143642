from __future__ import annotations

import numpy as np
import pytest
from painter import distance_to, shifted, street

from vectorize.polyline import length_of, resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig


@pytest.mark.parametrize("radius_m", [np.inf, 60.0])
def test_dashes_become_one_dashed_divider(radius_m):
    canvas, centre = street(radius_m=radius_m, length_m=66.1)
    canvas.dashes(centre, dash_m=3.0, gap_m=6.0)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(66.0, abs=1.0)
    assert distance_to(centre, resample(divider.vertices[:, :2], 0.2)).max() < 0.25


def test_dashes_of_which_the_segmentation_is_half_sure_are_one_divider_and_a_wash_of_as_much_is_none():
    canvas, centre = street(length_m=30.0, half_width_m=4.0)
    canvas.dashes(shifted(centre, 1.5), dash_m=3.0, gap_m=6.0, strength=0.5)
    canvas.stroke(shifted(centre, -1.5), width_m=0.9, strength=0.2)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize(("length_m", "gap_m", "count"), [(20.0, 11.0, 2), (60.0, 11.0, 1), (70.0, 16.0, 4)])
def test_dashes_farther_apart_than_the_gap_stay_apart(length_m, gap_m, count):
    """Two of them, or too far for any row; four at one period are a row."""
    canvas, centre = street(length_m=length_m)
    canvas.dashes(centre, dash_m=4.0, gap_m=gap_m)
    assert len(trace(canvas.bev(), TraceConfig()).of("divider")) == count


@pytest.mark.parametrize(("dash_m", "gap_m"), [(3.0, 9.0), (1.5, 4.5)])
def test_dashes_as_far_apart_as_nuscenes_paints_them_are_one_divider(dash_m, gap_m):
    canvas, centre = street(length_m=4 * dash_m + 3 * gap_m, half_width_m=3.0)
    canvas.dashes(shifted(centre, 0.5), dash_m=dash_m, gap_m=gap_m - 0.2)
    (divider,) = trace(canvas.bev(), TraceConfig()).of("divider")
    assert divider.style == "dashed"
    assert length_of(divider.vertices) == pytest.approx(4 * dash_m + 3 * (gap_m - 0.2), abs=0.6)
