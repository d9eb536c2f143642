"""Tracing commutes with rotating and mirroring the site."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from painter import Canvas, arc, distance_to, shifted

from recon.classes import RoadClass
from recon.grid import Grid
from vectorize.polyline import length_of, resample
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow


def lines_of_a_street(radius_m: float):
    """Return the rim of a road, a solid and a dashed line of it."""
    centre = arc(radius_m=radius_m, length_m=24.0)
    rim = np.concatenate([shifted(centre, 4.0), shifted(centre, -4.0)[::-1]])
    return rim, shifted(centre, 1.0)[40:-60], shifted(centre, -1.5)[:421]


def placed(line, angle_rad: float, mirrored: bool, start_m):
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    return (line * [1.0, -1.0 if mirrored else 1.0]) @ np.array([[c, s], [-s, c]]) + start_m


def traced(radius_m, width_m, angle_rad, mirrored, start_m):
    """Return the true and the traced lines of a street, solid first."""
    rim, *lines = (placed(line, angle_rad, mirrored, start_m) for line in lines_of_a_street(radius_m))
    canvas = Canvas(Grid.around(rim, margin_m=3.0, cell_m=0.1))
    canvas.area(rim, RoadClass.ROAD)
    canvas.stroke(lines[0], width_m=width_m)
    canvas.dashes(lines[1], dash_m=3.0, gap_m=6.0, width_m=width_m)
    found = trace(canvas.bev(), TraceConfig(simplify_m=0.01)).of("divider")
    assert len(found) == 2
    assert [e.style for e in sorted(found, key=lambda e: distance_to(lines[0], e.vertices).max())] == [
        "solid",
        "dashed",
    ]
    return lines, sorted((e.vertices[:, :2] for e in found), key=lambda v: distance_to(lines[0], v).max())


@pytest.mark.parametrize("radius_m", [np.inf, 60.0])
@given(
    st.floats(-np.pi, np.pi) | st.sampled_from([k * np.pi / 4 for k in range(-3, 5)]),
    st.booleans(),
    st.floats(0.1, 0.3),
    st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)),
)
@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.generate))  # shrinking takes minutes
def test_lengths_and_places_of_lines_turn_with_the_site(radius_m, angle_rad, mirrored, width_m, start_m):
    _, upright = traced(radius_m, width_m, 0.0, False, (0.0, 0.0))
    true, turned = traced(radius_m, width_m, angle_rad, mirrored, np.array(start_m))
    for line, before, after in zip(true, upright, turned, strict=True):
        assert length_of(after) == pytest.approx(length_of(before), rel=0.02)
        assert distance_to(line, resample(after, 0.1)[2:-2]).max() < 0.05


@pytest.mark.parametrize("angle_deg", [-135, -45, 45, 135])
@pytest.mark.parametrize("offset_m", [0.0125, 0.0375, 0.07])
def test_a_diagonal_divider_keeps_its_length(angle_deg, offset_m):
    (solid, _), (found, _) = traced(np.inf, 0.15, np.radians(angle_deg), False, np.array([offset_m, 0.0]))
    assert length_of(found) == pytest.approx(length_of(solid) + 0.15, abs=0.15)
