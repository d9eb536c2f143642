"""What kind of paint a divider is, from the profile of paint along it."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.road_map import Style
from vectorize.trace.lines.strand import STEP_M, Strand

SHORTEST_GAP_M = 0.7
SOLID_RUN_M = 8.0  # no dash is this long
DOUBLE_PAINT = 0.5
DOUBLE_WIDTH_M = 0.42  # two 12 cm lines with their gap; a wide single line is 0.3 m at most

PROFILE_M, PROFILE_STEP_M = 0.6, 0.05  # how far across a line its paint is read
WINDOW_M = 5.0
TWIN_APART_M = (0.15, 0.5)  # between the middles of the two lines of a double line
TWIN_SHARE, VALLEY_SHARE = 0.6, 0.97  # the weaker line of the stronger one, the valley between them of the weaker one
TRIPS_APART_M = 0.28  # more than twice what alignment lets trips miss each other by (align.most_residual_m)
CRESTED_SHARE = 0.25  # of a line's windows: a smeared double line shows its gap here and there, a single line nowhere


def painted_along(strand: Strand) -> Bool:
    """Return (N,) where there is paint: not bridged, and not far weaker than the rest of the line."""
    usual = float(np.quantile(strand.paint[~strand.bridged], 0.75)) if (~strand.bridged).any() else 0.0
    painted: Bool = ~strand.bridged & (strand.faint | (strand.paint >= 0.35 * usual))
    return painted


def lines_apart_m(evidence: Evidence, strand: Strand) -> float:
    """Return how far apart two crests of the paint across a strand lie, 0 if too little of its length has them.

    One profile across is coarse, but a line meets the cells at every phase: the mean over some metres shows a gap
    narrower than a cell, which the smoothing that ridges need has filled.
    """
    on = np.flatnonzero(~strand.bridged & ~strand.faint)
    if not on.size:
        return 0.0
    offset = np.arange(-PROFILE_M, PROFILE_M + 1e-9, PROFILE_STEP_M)
    normal = polyline.left_normals(polyline.tangents(strand.xy_m))[on]
    across = evidence.sample(evidence.marking, strand.xy_m[on][:, None] + offset[:, None] * normal[:, None])
    windows = np.array_split(across, max(1, round(on.size * STEP_M / WINDOW_M)))
    apart = np.array([_crests_apart_m(window.mean(axis=0)) for window in windows])
    return float(np.median(apart[apart > 0])) if (apart > 0).mean() >= CRESTED_SHARE else 0.0


def trips_along(evidence: Evidence, strand: Strand) -> int:
    """Return how many trips saw a strand."""
    _, bits = evidence.witnesses(strand.xy_m, np.zeros(1, np.int64))
    return int(bits[0]).bit_count()


def _crests_apart_m(profile: F64) -> float:
    inner = profile[1:-1]
    crests = np.flatnonzero((inner > profile[:-2]) & (inner >= profile[2:])) + 1
    if len(crests) < 2:
        return 0.0
    first = crests[np.argmax(profile[crests])]
    for other in crests:
        low, high = min(first, other), max(first, other)
        apart_m = float((high - low) * PROFILE_STEP_M)
        twins = TWIN_APART_M[0] - 1e-9 <= apart_m <= TWIN_APART_M[1] + 1e-9
        valley = profile[low : high + 1].min()
        if twins and profile[other] >= TWIN_SHARE * profile[first] and valley <= VALLEY_SHARE * profile[other]:
            return apart_m
    return 0.0


def style_of(strand: Strand, seen: Bool, *, longest_gap_m: float, twin: bool, apart_m: float, trips: int) -> Style:
    """Return the style; a gap that nobody saw says nothing, so an occluded solid line stays solid.

    `twin`: it was found as two lines; `apart_m`: as one with a gap along its middle, between crests so far apart.
    Dashes that several `trips` place a little apart have such a gap too, so that only a line that goes on is called
    double for it, and a short piece if one trip saw it or its crests lie too far apart for that.
    """
    # Only a bright line tells its width: the ridge of worn paint is as wide as the haze around it.
    bright = bool((~strand.bridged).any()) and float(np.median(strand.paint[~strand.bridged])) >= DOUBLE_PAINT
    if twin or (bright and strand.width_m >= DOUBLE_WIDTH_M and strand.length_m >= SOLID_RUN_M):
        return "double"
    style = _along(strand, seen, longest_gap_m)
    surely = style == "solid" or (style == "unknown" and (trips == 1 or apart_m >= TRIPS_APART_M))
    return "double" if apart_m > 0 and surely else style


def _along(strand: Strand, seen: Bool, longest_gap_m: float) -> Style:
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
