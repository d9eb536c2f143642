from __future__ import annotations

import numpy as np

from vectorize.polyline import resample
from vectorize.trace.hatching.bar_groups import bar_groups
from vectorize.trace.lines.strand import Strand
from vectorize.trace_config import HatchingConfig


def strand(start, stop):
    dense = resample(np.array([start, stop]), 0.1)
    nothing = np.zeros(len(dense), dtype=bool)
    return Strand(xy_m=dense, paint=np.ones(len(dense)), bridged=nothing, faint=nothing, width_m=0.3)


def test_bars_at_a_small_angle_with_pieces_at_their_ends_are_no_rows_of_dashes():
    """Bars of 10 m every 1.2 m; at the outlines the ridge of each breaks into short pieces."""
    way = np.array([np.cos(np.radians(20.0)), np.sin(np.radians(20.0))])
    strands = []
    for x in np.arange(-18.0, 18.1, 1.2):
        middle = np.array([x, 0.0])
        strands.append(strand(middle - 4.0 * way, middle + 4.0 * way))
        strands += [strand(middle + sign * 4.0 * way, middle + sign * 5.2 * way) for sign in (-1, 1)]
    edges = [resample(np.array([[-40.0, y], [40.0, y]]), 0.1) for y in (-9.0, 9.0)]
    groups = bar_groups(strands, edges, np.zeros(len(strands), dtype=bool), HatchingConfig())
    assert sum(len(group.members) for group in groups) >= 31


def test_dashes_side_by_side_are_no_bars():
    edges = [resample(np.array([[-40.0, y], [40.0, y]]), 0.1) for y in (-9.0, 9.0)]
    strands = [strand((x, y), (x + 3.0, y)) for x in np.arange(-30.0, 30.0, 9.0) for y in (-3.5, 0.0, 3.5)]
    assert not bar_groups(strands, edges, np.zeros(len(strands), dtype=bool), HatchingConfig())
