"""The styles of a divider, stretch by stretch: its own pattern, that of a line beside it, and the crests across it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recon.arrays import F64, I64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.road_map import Style
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.styles.companion import companion_along
from vectorize.trace.styles.pattern import DASHED, SOLID, UNKNOWN, pattern_along
from vectorize.trace.styles.twins import Line, join_twins
from vectorize.trace_config import StyleConfig, TraceConfig

USUAL_QUANTILE, WEAK_SHARE = 0.75, 0.35  # paint weaker than that share of the line's usual paint is a gap
SHARP_OFFSETS = np.array([-1.0, 0.0, 1.0])  # in cells across a line: that sum of its paint has no beat with the cells
SHARP_SHARE = 0.65  # of that paint below which a place lies between two short dashes
PROFILE_M, PROFILE_STEP_M = 0.6, 0.05  # how far across a line its paint is read
WINDOW_M = 5.0  # over which profiles are averaged: the line meets the cells at every phase
GOES_ON_SHARE = 0.8  # of a line beside dashes that is paint, not bridges between pieces
ROUNDING = 1e-9  # m, of sums of profile steps
# Own pattern and the pattern of the line beside it, which is negative on the right.
STYLES: dict[tuple[int, int], Style] = {
    (SOLID, 0): "solid",
    (DASHED, 0): "dashed",
    **dict.fromkeys([(SOLID, SOLID), (SOLID, -SOLID), (UNKNOWN, SOLID), (UNKNOWN, -SOLID)], "double"),
    **dict.fromkeys([(DASHED, DASHED), (DASHED, -DASHED), (UNKNOWN, DASHED), (UNKNOWN, -DASHED)], "dashed"),
    **dict.fromkeys([(SOLID, -DASHED), (DASHED, SOLID)], "solid_dashed"),
    **dict.fromkeys([(SOLID, DASHED), (DASHED, -SOLID)], "dashed_solid"),
}


class Stretch(NamedTuple):
    """Vertices of one style."""

    start: int
    stop: int
    style: Style


def painted_along(strand: Strand) -> Bool:
    """Return (N,) where there is paint: not bridged, and not far weaker than the rest of the line."""
    return _bright(strand, strand.paint, WEAK_SHARE)


def sharp_along(evidence: Evidence, strand: Strand) -> Bool:
    """Return (N,) where there is paint in the cells themselves: smoothing fills the gaps between short dashes."""
    places = polyline.across(strand.xy_m, evidence.grid.cell_m * SHARP_OFFSETS)
    return _bright(strand, evidence.sample(evidence.marking, places).sum(axis=1), SHARP_SHARE)


def _bright(strand: Strand, paint: F64, share: float) -> Bool:
    usual = float(np.quantile(paint[~strand.bridged], USUAL_QUANTILE)) if (~strand.bridged).any() else 0.0
    painted: Bool = ~strand.bridged & (strand.faint | (paint >= share * usual))
    return painted


def lines_apart_m(evidence: Evidence, strand: Strand, config: StyleConfig) -> float:
    """Return how far apart two crests of the paint across a strand lie, 0 if too little of its length has them.

    One profile across is coarse, but a line meets the cells at every phase: the mean over some metres shows a gap
    narrower than a cell, which the smoothing that ridges need has filled.
    """
    on = np.flatnonzero(~strand.bridged & ~strand.faint)
    if not on.size:
        return 0.0
    windows = np.array_split(_profiles(evidence, strand)[on], max(1, round(on.size * STEP_M / WINDOW_M)))
    apart = np.array([_crests_apart_m(window.mean(axis=0), config) for window in windows])
    return float(np.median(apart[apart > 0])) if (apart > 0).mean() >= config.crested_share else 0.0


def paint_across_m(evidence: Evidence, strand: Strand) -> float:
    """Return how many metres of paint lie across a strand, the median: blur spreads paint and leaves its amount."""
    on = ~strand.bridged & ~strand.faint
    profiles = _profiles(evidence, strand)[on]
    return float(np.median(profiles.sum(axis=1))) * PROFILE_STEP_M if on.any() else 0.0


def _profiles(evidence: Evidence, strand: Strand) -> F64:
    """Return the paint (N, M) across each vertex of a strand."""
    offset = np.arange(-PROFILE_M, PROFILE_M + ROUNDING, PROFILE_STEP_M)
    return evidence.sample(evidence.marking, polyline.across(strand.xy_m, offset))


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


def lines_of(evidence: Evidence, strands: Sequence[Strand], config: TraceConfig) -> list[Line]:
    """Return strands with their patterns; two that run side by side are one line."""
    lines = []
    for strand in strands:
        seen = evidence.is_known(strand.xy_m)
        pattern = pattern_along(painted_along(strand), sharp_along(evidence, strand), seen, config.style)
        lines.append(Line(strand=strand, pattern=pattern, beside=np.zeros_like(pattern)))
    return join_twins(lines, config.divider.double_apart_m, config.min_divider_m)


def stretches_of(evidence: Evidence, line: Line, config: StyleConfig) -> list[Stretch]:
    """Return the stretches of one style of a line, which together are the whole of it."""
    strand = line.strand
    wider = companion_along(evidence, strand, config)
    # Of dashes close to a line some are ridges of their own and some are not: all of them show as its width.
    beside = np.where((line.beside != 0) & (np.abs(wider) != DASHED), line.beside, wider)
    pairs = np.stack([_own_pattern(line, wider), beside], axis=1)
    borders = [0, *(np.flatnonzero(np.any(pairs[1:] != pairs[:-1], axis=1)) + 1).tolist(), len(pairs)]
    found = [
        Stretch(a, b, STYLES.get((int(pairs[a, 0]), int(pairs[a, 1])), "unknown"))
        for a, b in itertools.pairwise(borders)
    ]
    whole = _cleaned(found, config)
    return _cleaned([_doubled(evidence, strand, one, config) for one in whole], config)


def _own_pattern(line: Line, wider: I64) -> I64:
    """Return the pattern (N,) of a line whose ridge may have gone over to the dashes beside it, and back.

    A dash beside it shows by its width only where the line itself goes on before and after: that one is solid.
    """
    beside = np.abs(wider) == DASHED
    on = beside & ~line.strand.bridged
    goes_on = on.sum() >= GOES_ON_SHARE * max(1, int(beside.sum()))
    return np.where(beside, SOLID, line.pattern) if goes_on else line.pattern


def _cleaned(stretches: list[Stretch], config: StyleConfig) -> list[Stretch]:
    """Return the stretches with the short and the unknown ones given to the longer one of their neighbours."""
    done = _merged(stretches)
    while len(done) > 1:
        lengths = [(one.stop - one.start) * STEP_M for one in done]
        weak = [k for k, one in enumerate(done) if one.style == "unknown" or lengths[k] < config.min_stretch_m]
        if not weak:
            break
        k = min(weak, key=lambda index: (done[index].style != "unknown", lengths[index]))
        heir = max((n for n in (k - 1, k + 1) if 0 <= n < len(done)), key=lambda index: lengths[index])
        done[k] = done[k]._replace(style=done[heir].style)
        done = _merged(done)
    return done


def _merged(stretches: list[Stretch]) -> list[Stretch]:
    result = [stretches[0]]
    for one in stretches[1:]:
        if one.style == result[-1].style:
            result[-1] = result[-1]._replace(stop=one.stop)
        else:
            result.append(one)
    return result


def _doubled(evidence: Evidence, strand: Strand, stretch: Stretch, config: StyleConfig) -> Stretch:
    """Return a stretch of one line as double where its profile across shows two, though one ridge was traced.

    Dashes that several trips place a little apart have two crests too. Therefore only a solid line is double for them,
    and a short piece only if one trip saw it or its crests lie too far apart for that reason. A single line that is
    blurred is wide too. But two lines are wider than their paint by the gap between them, and half a cell of blur.
    """
    if stretch.style not in ("solid", "unknown"):
        return stretch
    part = strand.part(stretch.start, stretch.stop)
    # Only strong paint shows its width: the ridge of worn paint is as wide as the haze around it.
    painted = part.paint[~part.bridged]
    strong = painted.size > 0 and float(np.median(painted)) >= config.double_probability
    wide = strand.width_m >= config.double_width_m and part.length_m >= config.solid_run_m
    if strong and wide:
        paint_m = paint_across_m(evidence, part)
        gap_m = config.crest_min_apart_m + evidence.grid.cell_m / 2
        wide = paint_m >= config.double_width_m or strand.width_m - paint_m >= gap_m
    apart_m = lines_apart_m(evidence, part, config)
    surely = stretch.style == "solid" or trips_along(evidence, part) == 1 or apart_m >= config.trips_apart_m
    return stretch._replace(style="double") if (strong and wide) or (apart_m > 0 and surely) else stretch
