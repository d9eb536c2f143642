"""Words and arrows beside lines: they are no lines, and take none away."""

from __future__ import annotations

import pytest
from painter import Canvas, shifted, street

from recon.classes import RoadClass
from recon.demo_city.plan.glyphs import NAMES, atlas
from vectorize.polyline import length_of
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

pytestmark = pytest.mark.slow

MARKING = RoadClass.LANE_MARKING
LENGTH_M = 40.0


def _only_lines(canvas: Canvas, count: int, style: str) -> None:
    found = trace(canvas.bev(), TraceConfig())
    assert {e.element_class for e in found.elements} == {"divider", "boundary"}
    assert [e.style for e in found.of("divider")] == [style] * count
    assert min(length_of(e.vertices) for e in found.of("divider")) > LENGTH_M - 2.5


def _sign(canvas: Canvas, name: str, line, *, heading_rad: float, long_m: float, wide_m: float) -> None:
    """Paint a sign in the middle of a line along the road."""
    size = {"long_m": long_m, "wide_m": wide_m, "road_class": MARKING}
    canvas.glyph(atlas()[NAMES.index(name)], line[280], heading_rad=heading_rad, **size)


@pytest.mark.parametrize("heading_rad", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("word", "long_m"), [("BUS", 2.6), ("SLOW", 2.6), ("TAXI", 4.0), ("30", 4.0)])
def test_letters_are_no_dividers_and_no_bars_with_the_dashes_beside_them(word, long_m, heading_rad):
    canvas, centre = street(length_m=LENGTH_M, half_width_m=5.0, heading_rad=heading_rad)
    canvas.dashes(centre)
    _sign(canvas, word, shifted(centre, -2.5), heading_rad=heading_rad, long_m=long_m, wide_m=2.4)
    _only_lines(canvas, 1, "dashed")


@pytest.mark.parametrize("heading_rad", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("arrows", [("left", "right"), ("ahead_left", "ahead_right"), ("ahead_left", "ahead", "right")])
def test_arrows_side_by_side_are_no_hatching_and_no_dividers(arrows, solid, heading_rad):
    lane_m, count = 2.6, len(arrows)
    canvas, centre = street(length_m=LENGTH_M, half_width_m=1.5 * lane_m + 1.0, heading_rad=heading_rad)
    for k in range(1, count):
        (canvas.stroke if solid else canvas.dashes)(shifted(centre, lane_m * (k - count / 2)))
    for k, name in enumerate(arrows):
        lane = shifted(centre, lane_m * (k - (count - 1) / 2))
        _sign(canvas, name, lane, heading_rad=heading_rad, long_m=5.0, wide_m=2.4)
    _only_lines(canvas, count - 1, "solid" if solid else "dashed")
