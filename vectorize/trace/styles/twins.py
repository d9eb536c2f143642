"""Two lines traced beside each other: one double line where they are close, two lines where they part."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, I64
from vectorize import polyline
from vectorize.trace.lines.linker import bridge_strand, concatenated
from vectorize.trace.lines.strand import STEP_M, Strand

MERGED_M = 0.15  # closer twins were one ridge: the raster could not separate them there
BOX_M = 1.0  # around a strand, beyond any distance of twins
DOUBLE_LEAST_M = 5.0  # of the second line of a double one: less is a ragged edge or a worn patch
OVERLAP_M = 2.0  # of two lines that end beside each other
TWIN_SHARE = 0.6  # of a strand beside a longer one that makes it no line of its own
FADE_M = 0.3  # beyond the twins' distance over which the middle line returns to the single one
MIDDLE_SMOOTH_M = 0.5  # of the middle line, where the nearest twin vertex jumps
TAIL_M = 3.0  # of a line beyond the last place of its twin
CLEAR_SHARE = 0.9  # of their usual distance from which two lines are not drawn to each other
COURSE_M = 1.0  # each way, over which the direction at the last place beside the twin is taken
HOLE_M = 1.0  # of a stretch side by side: noise of their distance
PASSED_M = 1.6  # between the ends of one line whose ridge went over to its twin,
PASSED_TURN = 0.95  # and the cosine between their directions
PASSED_SMOOTH_M = 1.0  # of the way from one to the other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A strand with its pattern, and the pattern of the line beside it."""

    strand: Strand
    pattern: I64  # (N,) code of `pattern`
    beside: I64  # (N,) code of the second line, negative where it lies on the right, 0 where there is none

    @property
    def turned(self) -> Line:
        """Return the line the other way round."""
        return Line(strand=self.strand.reversed(), pattern=self.pattern[::-1], beside=-self.beside[::-1])


def join_twins(lines: Sequence[Line], apart_m: float, least_m: float) -> list[Line]:
    """Return lines of which none runs within `apart_m` of a longer one; parts shorter than `least_m` are dropped."""
    kept: list[Line] = []
    for line in sorted(lines, key=lambda one: (-one.strand.length_m, *one.strand.xy_m[0].tolist())):
        parts = [line]
        for k in range(len(kept)):
            remaining: list[Line] = []
            for part in parts:
                kept[k], left = _merged(kept[k], part, apart_m)
                remaining += left
            parts = remaining
        kept += [p for p in parts if p is line or p.strand.length_m >= least_m]
    return _rejoined(kept, apart_m)


def _rejoined(lines: list[Line], apart_m: float) -> list[Line]:
    """Join lines end to end where a ridge went from one of two close lines over to the other."""
    done = list(lines)
    while True:
        pair = _nearest_ends(done, apart_m)
        if pair is None:
            return done
        i, k, first, second = pair
        done = [line for n, line in enumerate(done) if n not in (i, k)] + [_chained(first, second)]


def _nearest_ends(lines: Sequence[Line], apart_m: float) -> tuple[int, int, Line, Line] | None:
    """Return two lines that continue each other, turned so that the second follows the first."""
    for i, one in enumerate(lines):
        for k, other in enumerate(lines[:i]):
            if not (one.beside.any() or other.beside.any()):
                continue
            for first, second in itertools.product((one, one.turned), (other, other.turned)):
                step = second.strand.xy_m[0] - first.strand.xy_m[-1]
                if np.hypot(*step) > PASSED_M:
                    continue
                ahead, after = (_course(x.strand.xy_m, np.array([0, len(x.strand.xy_m) - 1])) for x in (first, second))
                across = abs(ahead[-1, 0] * step[1] - ahead[-1, 1] * step[0])
                if across < apart_m and step @ ahead[-1] > -apart_m and ahead[-1] @ after[0] > PASSED_TURN:
                    return i, k, first, second
    return None


def _chained(first: Line, second: Line) -> Line:
    """Return one line of two, the second of which begins where the first ends."""
    way = polyline.resample(np.stack([first.strand.xy_m[-1], second.strand.xy_m[0]]), STEP_M)[1:-1]
    parts = [first.strand, *bridge_strand(way), second.strand]
    strand = concatenated(parts)
    xy = polyline.smooth(strand.xy_m, PASSED_SMOOTH_M / STEP_M)
    xy[[0, -1]] = strand.xy_m[[0, -1]]
    gap = np.full(len(strand.xy_m) - len(first.pattern) - len(second.pattern), 0)
    return Line(
        strand=replace(strand, xy_m=xy),
        pattern=np.concatenate([first.pattern, gap + first.pattern[-1], second.pattern]),
        beside=np.concatenate([first.beside, gap + first.beside[-1], second.beside]),
    )


def _merged(line: Line, twin: Line, apart_m: float) -> tuple[Line, list[Line]]:
    """Return the longer of two lines with what it learns from the other, and what remains of that."""
    low, high = line.strand.xy_m.min(0) - BOX_M, line.strand.xy_m.max(0) + BOX_M
    if np.any(twin.strand.xy_m.min(0) > high) or np.any(twin.strand.xy_m.max(0) < low):
        return line, [twin]
    distance = np.asarray(cKDTree(line.strand.xy_m).query(twin.strand.xy_m)[0])
    near = polyline.close_gaps(distance < apart_m, round(HOLE_M / STEP_M))
    runs = polyline.runs(near)
    if near.mean() <= TWIN_SHARE:  # lines that meet or part are one double line only where they run side by side
        # A bridge from a dash along the line beside it ends with the same paint as that line begins.
        ends = np.asarray(cKDTree(twin.strand.xy_m).query(line.strand.xy_m[[0, -1]])[0]).min() < apart_m
        runs = [
            (a, b)
            for a, b in runs
            if (distance[a:b] > MERGED_M).sum() * STEP_M >= DOUBLE_LEAST_M
            or (ends and (a == 0 or b == len(near)) and (b - a) * STEP_M >= OVERLAP_M)
        ]
    if not runs:
        return line, [twin]
    rest = np.ones(len(near), dtype=bool)
    changed = line
    for start, stop in runs:
        rest[start:stop] = False
        part = _part(twin, start, stop)
        if part.strand.length_m > DOUBLE_LEAST_M or part.strand.gap_m > 0:
            changed = _beside(changed, part, apart_m)
    return changed, [_part(twin, a, b) for a, b in polyline.runs(rest) if b - a > 2]


def _part(line: Line, start: int, stop: int) -> Line:
    return Line(strand=line.strand.part(start, stop), pattern=line.pattern[start:stop], beside=line.beside[start:stop])


def _beside(line: Line, twin: Line, apart_m: float) -> Line:
    """Return a line halfway between it and its twin where it has one, with the twin's pattern beside it."""
    xy = line.strand.xy_m
    found = cKDTree(twin.strand.xy_m).query(xy)
    distance, index = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
    normal = polyline.left_normals(polyline.tangents(xy))
    left_m = np.einsum("ij,ij->i", twin.strand.xy_m[index] - xy, normal)
    near = np.flatnonzero(distance < apart_m)
    if not near.size:
        return line
    share = 0.5 * np.clip((apart_m + FADE_M - distance) / FADE_M, 0.0, 1.0)
    moved = polyline.smooth(xy + (share * left_m)[:, None] * normal, MIDDLE_SMOOTH_M / STEP_M)
    # At its ends one of two lines is lost in the other: there both go on as they did.
    source = np.arange(len(xy))
    tail = round(TAIL_M / STEP_M)
    clear = near[distance[near] >= CLEAR_SHARE * np.median(distance[near])]
    if clear[0] <= tail:
        source[: clear[0]] = clear[0]
    if clear[-1] >= len(xy) - 1 - tail:
        source[clear[-1] :] = clear[-1]
    moved = moved[source] + ((np.arange(len(xy)) - source) * STEP_M)[:, None] * _course(moved, clear)[source]
    code = (np.where(left_m >= 0, 1, -1) * twin.pattern[index])[source]
    beside = np.where(distance[source] < apart_m, code, line.beside).astype(np.int64)
    return replace(line, strand=replace(line.strand, xy_m=moved), beside=beside)


def _course(xy_m: F64, clear: I64) -> F64:
    """Return (N, 2) unit directions over COURSE_M each way, none of it beyond the first and last of `clear` places."""
    reach = min(round(COURSE_M / STEP_M), (int(clear[-1]) - int(clear[0])) // 2)
    index = np.clip(np.arange(len(xy_m)), clear[0] + reach, clear[-1] - reach)
    step = xy_m[index + reach] - xy_m[index - reach]
    result: F64 = step / np.maximum(np.hypot(*step.T), STEP_M)[:, None]
    return result
