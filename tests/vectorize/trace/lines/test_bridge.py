from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from painter import arc, shifted
from shapely import LineString

from vectorize.polyline import resample
from vectorize.trace.lines.bridge import bridge
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import TraceConfig


def strand(line) -> Strand:
    xy = resample(np.asarray(line, dtype=float), STEP_M)
    nothing = np.zeros(len(xy), bool)
    return Strand(xy_m=xy, paint=np.full(len(xy), 0.8), bridged=nothing, faint=nothing, width_m=0.15)


def test_dashes_on_a_tight_curve_are_joined_in_order_whatever_the_order_given():
    line = arc(radius_m=40.0, length_m=63.0)
    dashes = [strand(line[k : k + 61]) for k in range(0, len(line) - 61, 180)]
    for order in (dashes, dashes[::-1], [d.reversed() for d in dashes]):
        (joined,) = bridge(list(order), TraceConfig(), [])
        assert joined.length_m == pytest.approx(57.0, abs=0.2)
        assert LineString(joined.xy_m).is_simple


@pytest.mark.parametrize(("lateral_m", "count"), [(0.2, 1), (0.5, 2)])
def test_the_lateral_limit_holds(lateral_m, count):
    line = arc(radius_m=np.inf, length_m=40.0)
    pieces = [strand(line[:300]), strand(shifted(line, lateral_m)[400:])]
    assert len(bridge(pieces, TraceConfig(), [])) == count


@pytest.mark.parametrize(("turn_deg", "count"), [(6.0, 1), (16.0, 2)])
def test_the_angle_limit_holds(turn_deg, count):
    first = arc(radius_m=np.inf, length_m=10.0)
    second = arc(radius_m=np.inf, length_m=10.0, start=(13.0, 0.1), heading_rad=np.radians(turn_deg))
    assert len(bridge([strand(first), strand(second)], TraceConfig(), [])) == count


def test_an_end_is_used_once_and_the_better_continuation_wins():
    line = arc(radius_m=np.inf, length_m=30.0)
    pieces = [strand(line[:200]), strand(line[280:]), strand(shifted(line, 0.28)[280:])]
    lengths = sorted(s.length_m for s in bridge(pieces, TraceConfig(), []))
    assert lengths == pytest.approx([16.0, 30.0], abs=0.1)


@pytest.mark.parametrize(("paint", "width_m", "count"), [(0.3, 0.6, 2), (0.3, 0.15, 1), (0.8, 0.6, 1)])
def test_haze_carries_no_gap_longer_than_itself(paint, width_m, count):
    line = arc(radius_m=np.inf, length_m=40.0)
    piece = strand(line[250:280])
    haze = replace(piece, paint=np.full_like(piece.paint, paint), width_m=width_m)
    assert len(bridge([strand(line[:200]), haze], TraceConfig(), [])) == count


def test_a_barrier_is_not_crossed():
    line = arc(radius_m=np.inf, length_m=30.0)
    pieces = [strand(line[:200]), strand(line[280:])]
    assert len(bridge(pieces, TraceConfig(), [LineString([(12, -1), (12, 1)])])) == 2
