"""The second line beside a painted one where both are one ridge: it is wider there, and displaced."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import binary_closing, uniform_filter1d

from recon.arrays import F64, I64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.styles.pattern import DASHED, LEAST_RUNS, SOLID, UNKNOWN, is_row, runs_of
from vectorize.trace_config import StyleConfig

PROFILE_M, PROFILE_STEP_M = 0.6, 0.05  # how far across a line its paint is read
ALONG_VERTICES = 5  # over which profiles are averaged: half a metre, less than any dash
NEAREST_M = 0.3  # from the line to the paint whose width is measured
VALLEY_M = 0.2  # between two lines whose paint still counts as one width
HALF = 0.5  # of the brightest paint across: where its width is measured
NARROW_QUANTILE = 0.1  # of the widths along a line: those of the single one
WIDER = 1.6  # times that width, from which there are two lines,
PAINT_SHARE = 1.5  # times its paint: the haze around worn paint is wide without being more
LEVEL_SHARE = 0.7  # of the brightness of the single line
BREAK_M = 0.3  # within a wide stretch
LEAST_DASH_M = 0.85  # of the second line: where the end of a bar or of a chevron meets a line, it is wider for less
PATH_M = 8.0  # before and after a dash of the second line, where the path of the first one is fitted
LEAST_PATH = 8  # vertices of that fit
LEAST_SHIFT_M = 0.04  # of the ridge towards the second line, half of their distance at least


def companion_along(evidence: Evidence, strand: Strand, config: StyleConfig) -> I64:
    """Return (N,) the pattern of a second line that is one ridge with `strand`: negative on the right, 0 for none."""
    codes = np.zeros(len(strand.xy_m), dtype=np.int64)
    on = ~strand.bridged & ~strand.faint
    if on.sum() * STEP_M < config.solid_run_m:
        return codes
    width, centre, level = _widths(evidence, strand)
    narrow = float(np.quantile(width[on], NARROW_QUANTILE))
    single = on & (width <= WIDER * narrow)
    if not single.any():
        return codes
    paint = width * level
    wide = on & (width >= max(WIDER * narrow, config.two_lines_m))
    wide &= (level >= LEVEL_SHARE * np.median(level[single])) & (paint >= PAINT_SHARE * np.median(paint[single]))
    wide = polyline.close_gaps(wide, round(BREAK_M / STEP_M))
    runs = runs_of(wide, np.ones(len(wide), dtype=bool), BREAK_M)
    dashes = [run for run in runs if LEAST_DASH_M <= run.length_m <= config.longest_dash_m]
    if is_row(dashes):
        sides = _sides(strand, centre, [(run.start, run.stop) for run in dashes], single)
        gaps = [(a.stop, b.start) for a, b in itertools.pairwise(dashes)]
        # The row of the second line begins and ends with a gap, and changes sides in the middle of one.
        gap = int(np.median([stop - start for start, stop in gaps]))
        borders = [max(0, dashes[0].start - gap), *((a + b) // 2 for a, b in gaps), dashes[-1].stop + gap]
        for (start, stop), side in zip(itertools.pairwise(borders), sides, strict=True):
            codes[start:stop] = side * DASHED
    for run in runs:
        if run.length_m > config.longest_dash_m or (not is_row(dashes) and run.length_m >= config.solid_run_m):
            codes[run.start : run.stop] = SOLID
    return codes


def _widths(evidence: Evidence, strand: Strand) -> tuple[F64, F64, F64]:
    """Return (N,) the width of the paint across a strand, the offset of its middle to the left, its mean brightness."""
    offset = np.arange(-PROFILE_M, PROFILE_M + PROFILE_STEP_M / 2, PROFILE_STEP_M)
    across = evidence.sample(evidence.marking, polyline.across(strand.xy_m, offset))
    across = uniform_filter1d(across, ALONG_VERTICES, axis=0, mode="nearest")
    above = across >= HALF * np.maximum(across.max(axis=1, keepdims=True), PROFILE_STEP_M)
    closing = np.ones((1, round(VALLEY_M / PROFILE_STEP_M)), dtype=bool)
    above = binary_closing(np.pad(above, ((0, 0), (len(offset), len(offset)))), closing)[:, len(offset) : -len(offset)]
    middle = len(offset) // 2
    # A line between two others has no paint of its own: the nearest one counts.
    away = np.where(above, np.abs(np.arange(len(offset)) - middle), len(offset))
    core = np.where(away.min(axis=1) <= round(NEAREST_M / PROFILE_STEP_M), away.argmin(axis=1), middle)[:, None]
    place = np.arange(len(offset))[None]
    right = core[:, 0] - np.where(~above & (place <= core), place, -1).max(axis=1)
    left = np.where(~above & (place >= core), place, len(offset)).min(axis=1) - core[:, 0]
    width = np.maximum(left + right - 1, 1) * PROFILE_STEP_M
    inside = (place > core - right[:, None]) & (place < core + left[:, None])
    level = (across * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    return width, ((left - right) / 2 + core[:, 0] - middle) * PROFILE_STEP_M, level


def _sides(strand: Strand, centre: F64, dashes: list[tuple[int, int]], single: Bool) -> list[int]:
    """Return for each dash 1 if it lies on the left of the line that goes on between them, -1 on the right, 0 unclear.

    A row is on one side, or changes over: each side then has as many dashes as a row needs.
    """
    reach = round(PATH_M / STEP_M)
    tangent = polyline.tangents(strand.xy_m)
    places = strand.xy_m + centre[:, None] * polyline.left_normals(tangent)
    shifts = np.full(len(dashes), np.nan)
    for number, (start, stop) in enumerate(dashes):
        at = np.arange(max(0, start - reach), min(len(places), stop + reach))
        path = at[single[at]]
        if len(path) < LEAST_PATH:
            continue
        middle = (start + stop) // 2
        axis = tangent[middle]
        local = (places - places[middle]) @ np.c_[axis, [-axis[1], axis[0]]]
        fitted = np.polyfit(local[path, 0], local[path, 1], 2)
        shifts[number] = float(np.mean(local[start:stop, 1] - np.polyval(fitted, local[start:stop, 0])))
    return _changing(shifts)


def _changing(shifts: F64) -> list[int]:
    """Return the side of each dash from its shift (N,) to the left, NaN where unknown: few changes, clear ones."""
    cuts = [0, len(shifts)]
    clear = np.where(np.abs(shifts) >= LEAST_SHIFT_M, np.sign(shifts), 0.0)
    for k in range(LEAST_RUNS, len(shifts) - LEAST_RUNS + 1):
        before, after = clear[k - LEAST_RUNS : k], clear[k : k + LEAST_RUNS]
        if abs(before.sum()) == abs(after.sum()) == LEAST_RUNS and before[0] != after[0]:
            cuts.insert(-1, k)
    result = []
    for first, last in itertools.pairwise(cuts):
        known = shifts[first:last][np.isfinite(shifts[first:last])]
        shift = float(np.median(known)) if known.size else 0.0
        result += [int(np.sign(shift)) if abs(shift) >= LEAST_SHIFT_M else UNKNOWN] * (last - first)
    return result
