"""What kind of paint a divider is, from the profile of paint along it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vectorize import polyline
from vectorize.road_map import Style
from vectorize.strand import STEP_M, Strand

Bool = npt.NDArray[np.bool_]

SHORTEST_GAP_M = 0.7
SOLID_RUN_M = 8.0  # no dash is this long
DOUBLE_PAINT = 0.5
DOUBLE_WIDTH_M = 0.42  # two 12 cm lines with their gap; a wide single line is 0.3 m at most


def painted_along(strand: Strand) -> Bool:
    """Return (N,) where there is paint: not bridged, and not far weaker than the rest of the line."""
    usual = float(np.quantile(strand.paint[~strand.bridged], 0.75)) if (~strand.bridged).any() else 0.0
    painted: Bool = ~strand.bridged & (strand.faint | (strand.paint >= 0.35 * usual))
    return painted


def style_of(strand: Strand, seen: Bool, *, longest_gap_m: float, double: bool) -> Style:
    """Return the style; a gap that nobody saw says nothing, so an occluded solid line stays solid."""
    # Only a bright line tells its width: the ridge of worn paint is as wide as the haze around it.
    bright = bool((~strand.bridged).any()) and float(np.median(strand.paint[~strand.bridged])) >= DOUBLE_PAINT
    if double or (bright and strand.width_m >= DOUBLE_WIDTH_M and strand.length_m >= SOLID_RUN_M):
        return "double"
    painted = polyline.close_gaps(painted_along(strand), round(0.3 / STEP_M))
    gaps = [
        (b - a) * STEP_M
        for a, b in polyline.runs(~painted)
        if a > 0 and b < len(painted) and seen[a:b].mean() > 0.7 and (b - a) * STEP_M >= SHORTEST_GAP_M
    ]
    gaps = [gap for gap in gaps if gap <= longest_gap_m + 1.0]
    # Over an unseen gap the paint is taken to go on, else two halves of a solid line would look like dashes.
    lengths = [(b - a) * STEP_M for a, b in polyline.runs(painted | ~seen)]
    long_share = sum(length for length in lengths if length >= SOLID_RUN_M) / max(sum(lengths), STEP_M)
    if long_share >= 0.5:
        return "solid"
    if len(gaps) >= 2 or (gaps and max(lengths) <= 6.0):
        return "dashed"
    return "solid" if not gaps and strand.length_m >= 6.0 else "unknown"
