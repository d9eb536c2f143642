"""What kind of paint a divider is, from the profile of paint along it."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.road_map import Style
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import StyleConfig, TraceConfig

USUAL_QUANTILE, WEAK_SHARE = 0.75, 0.35  # paint weaker than that share of the line's usual paint is a gap
PROFILE_M, PROFILE_STEP_M = 0.6, 0.05  # how far across a line its paint is read
WINDOW_M = 5.0  # over which profiles are averaged: the line meets the cells at every phase
ROUNDING = 1e-9  # m, of sums of profile steps
WEAR_M = 0.3  # longest break within one dash
SEEN_SHARE = 0.7  # of a gap that must have been seen for it to separate dashes
GAP_SLACK_M = 1.0  # beyond `bridge_gap_m`: the ends of worn dashes make a gap look longer
SOLID_SHARE = 0.5  # of the painted length that must lie in long runs
DASHED_GAPS = 2  # gaps from which a line is dashed whatever its pieces
LONGEST_DASH_M = 6.0  # of a line with a single gap: with longer pieces its style is unknown
SHORTEST_SOLID_M = 6.0  # of a line without gaps: a shorter one may be a single dash


def painted_along(strand: Strand) -> Bool:
    """Return (N,) where there is paint: not bridged, and not far weaker than the rest of the line."""
    usual = float(np.quantile(strand.paint[~strand.bridged], USUAL_QUANTILE)) if (~strand.bridged).any() else 0.0
    painted: Bool = ~strand.bridged & (strand.faint | (strand.paint >= WEAK_SHARE * usual))
    return painted


def lines_apart_m(evidence: Evidence, strand: Strand, config: StyleConfig) -> float:
    """Return how far apart two crests of the paint across a strand lie, 0 if too little of its length has them.

    One profile across is coarse, but a line meets the cells at every phase: the mean over some metres shows a gap
    narrower than a cell, which the smoothing that ridges need has filled.
    """
    on = np.flatnonzero(~strand.bridged & ~strand.faint)
    if not on.size:
        return 0.0
    offset = np.arange(-PROFILE_M, PROFILE_M + ROUNDING, PROFILE_STEP_M)
    normal = polyline.left_normals(polyline.tangents(strand.xy_m))[on]
    across = evidence.sample(evidence.marking, strand.xy_m[on][:, None] + offset[:, None] * normal[:, None])
    windows = np.array_split(across, max(1, round(on.size * STEP_M / WINDOW_M)))
    apart = np.array([_crests_apart_m(window.mean(axis=0), config) for window in windows])
    return float(np.median(apart[apart > 0])) if (apart > 0).mean() >= config.crested_share else 0.0


def trips_along(evidence: Evidence, strand: Strand) -> int:
    """Return how many trips saw a strand."""
    _, bits = evidence.views_and_trips(strand.xy_m, np.zeros(1, np.int64))
    return int(bits[0]).bit_count()


def _crests_apart_m(profile: F64, config: StyleConfig) -> float:
    inner = profile[1:-1]
    crests = np.flatnonzero((inner > profile[:-2]) & (inner >= profile[2:])) + 1
    if len(crests) < 2:
        return 0.0
    first = crests[np.argmax(profile[crests])]
    for other in crests:
        low, high = min(first, other), max(first, other)
        apart_m = float((high - low) * PROFILE_STEP_M)
        twins = config.crest_min_apart_m - ROUNDING <= apart_m <= config.crest_max_apart_m + ROUNDING
        valley = profile[low : high + 1].min()
        high_enough = profile[other] >= config.crest_share * profile[first]
        if twins and high_enough and valley <= config.valley_share * profile[other]:
            return apart_m
    return 0.0


def style_of(strand: Strand, seen: Bool, config: TraceConfig, *, twin: bool, apart_m: float, trips: int) -> Style:
    """Return the style; only a gap that was seen is evidence, so an occluded solid line stays solid.

    `twin`: it was found as two lines; `apart_m`: as one with a gap along its middle, between crests so far apart.
    Dashes that several `trips` place a little apart have such a gap too. Therefore only a continuous line is double for
    such a gap, and a short piece only if one trip saw it or its crests lie too far apart for that reason.
    """
    style_config = config.style
    # Only strong paint shows its width: the ridge of worn paint is as wide as the haze around it.
    painted = strand.paint[~strand.bridged]
    strong = painted.size > 0 and float(np.median(painted)) >= style_config.double_probability
    wide = strand.width_m >= style_config.double_width_m and strand.length_m >= style_config.solid_run_m
    if twin or (strong and wide):
        return "double"
    style = _along(strand, seen, config)
    surely = style == "solid" or (style == "unknown" and (trips == 1 or apart_m >= style_config.trips_apart_m))
    return "double" if apart_m > 0 and surely else style


def _along(strand: Strand, seen: Bool, config: TraceConfig) -> Style:
    """Return the style by gaps and painted runs along a strand."""
    painted = polyline.close_gaps(painted_along(strand), round(WEAR_M / STEP_M))
    gaps = [
        (b - a) * STEP_M
        for a, b in polyline.runs(~painted)
        if a > 0 and b < len(painted) and seen[a:b].mean() > SEEN_SHARE and (b - a) * STEP_M >= config.style.min_gap_m
    ]
    gaps = [gap for gap in gaps if gap <= config.bridge_gap_m + GAP_SLACK_M]
    # Over an unseen gap the paint is taken to go on, else two halves of a solid line would look like dashes.
    lengths = [(b - a) * STEP_M for a, b in polyline.runs(painted | ~seen)]
    long_share = sum(length for length in lengths if length >= config.style.solid_run_m) / max(sum(lengths), STEP_M)
    if long_share >= SOLID_SHARE:
        return "solid"
    if len(gaps) >= DASHED_GAPS or (gaps and max(lengths) <= LONGEST_DASH_M):
        return "dashed"
    return "solid" if not gaps and strand.length_m >= SHORTEST_SOLID_M else "unknown"
