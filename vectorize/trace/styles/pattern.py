"""Solid or dashed: what the runs of paint along a line, and the gaps between them, say stretch by stretch."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from recon.arrays import F64, I64, Bool
from vectorize import polyline
from vectorize.trace.lines.strand import STEP_M
from vectorize.trace_config import StyleConfig

UNKNOWN, SOLID, DASHED = 0, 1, 2  # codes of a pattern
SEEN_SHARE = 0.7  # of a gap that must have been seen for it to separate dashes
WEAR_M = 0.2  # longest break within one dash
REGULAR_SHARE = 0.6  # of the dashes and of the gaps that are like the usual one of a row
LIKE = (0.5, 1.6)  # times the usual dash or gap that one like it measures
TOO_LONG = 2.2  # times the usual dash, and
TOO_LONG_M = 4.0  # at least: a run that is no dash of its row
SHORT_M, LEAST_SHORT = 2.5, 6  # period of short dashes, whose gaps may be as short as wear; many prove them
SHORT_SHARE = 0.7  # of a line that they make up: elsewhere noise looks like them
LEAST_RUNS = 3  # of a row that is judged by its period
LEAST_GAP_SHARE = 0.2  # of the dash that the gap of a row measures: less is a repaired solid line
LONG_SHARE = 0.5  # of the paint that long runs make up, where runs are irregular, for it to be solid
FULL_SHARE = 0.75  # of a stretch that irregular runs paint, from which they are a worn solid line
LONE_GAP_SHARE = 0.8  # of a lone run beside a solid line that the gap between them measures for it to be a dash
LONE_DASH_M = 6.0  # two runs this short with a gap between them are dashes; a lone one may be anything


@dataclass(frozen=True, slots=True)
class Run:
    """Paint between two gaps."""

    start: int
    stop: int
    length_m: float  # of its longest painted part: what was not seen is no dash


def pattern_along(painted: Bool, sharp: Bool, seen: Bool, config: StyleConfig) -> I64:
    """Return the pattern code (N,) of every vertex of a line that is `painted` and was `seen` (N,) there.

    `sharp` (N,) is the paint before smoothing, which fills the gaps of short dashes.

    A gap counts if it was seen: an occluded solid line stays solid, and a row with a hidden dash a row.
    """
    codes = np.zeros(len(painted), dtype=np.int64)
    fine = runs_of(sharp, seen, WEAR_M)
    runs = fine if is_row(fine) and _is_short(fine, len(sharp)) else runs_of(painted, seen, config.min_gap_m - STEP_M)
    runs = _resolved(runs, fine)
    if not runs:
        return codes
    judged = [UNKNOWN] * len(runs)
    groups = _groups(runs, config)
    gaps_m = np.r_[np.inf, gaps_of(runs), np.inf]
    for first, last in groups:
        judged[first:last] = _judged(runs[first:last], config, alone=last - first == len(runs))
        if last - first == 1 and runs[first].length_m <= LONE_DASH_M < LONE_DASH_M * len(runs):
            gap_m = min(gaps_m[first], gaps_m[last])
            judged[first] = DASHED if gap_m >= LONE_GAP_SHARE * runs[first].length_m else judged[first]
    for k in range(1, len(runs) - 1):  # one dash between two solid stretches is the opening of a solid line
        if judged[k] == DASHED and judged[k - 1] == judged[k + 1] == SOLID:
            judged[k] = SOLID
    for run, code in zip(runs, judged, strict=True):
        codes[run.start : run.stop] = code
    for one, two, code, other in zip(runs, runs[1:], judged, judged[1:], strict=False):
        # The gap beside a dash belongs to the dashes.
        codes[one.stop : two.start] = DASHED if DASHED in (code, other) else max(code, other)
    codes[: runs[0].start], codes[runs[-1].stop :] = judged[0], judged[-1]
    return codes


def runs_of(painted: Bool, seen: Bool, wear_m: float) -> list[Run]:
    """Return the runs of paint between gaps that were seen."""
    closed = polyline.close_gaps(painted, round(wear_m / STEP_M))
    joined = closed.copy()
    for start, stop in polyline.runs(~closed):
        if start > 0 and stop < len(closed) and seen[start:stop].mean() <= SEEN_SHARE:
            joined[start:stop] = True
    result = []
    for start, stop in polyline.runs(joined):
        longest = max((b - a for a, b in polyline.runs(closed[start:stop])), default=0)
        result.append(Run(start, stop, longest * STEP_M))
    return result


def gaps_of(runs: list[Run]) -> F64:
    """Return the lengths of the gaps between runs in metres."""
    return np.array([(b.start - a.stop) * STEP_M for a, b in itertools.pairwise(runs)])


def _like_share(values: F64, usual: float) -> float:
    return float(np.mean((values >= LIKE[0] * usual) & (values <= LIKE[1] * usual)))


def is_row(runs: list[Run]) -> bool:
    """Return whether runs and gaps are of one size, and the gaps more than wear."""
    if len(runs) < LEAST_RUNS:
        return False
    lengths, gaps = np.array([run.length_m for run in runs]), gaps_of(runs)
    usual, gap = float(np.median(lengths)), float(np.median(gaps))
    regular = min(_like_share(lengths, usual), _like_share(gaps, gap)) >= REGULAR_SHARE
    return regular and gap >= LEAST_GAP_SHARE * usual and gap > WEAR_M


def _resolved(runs: list[Run], fine: list[Run]) -> list[Run]:
    """Return the runs of a row with those replaced that are several dashes of it: haze fills a gap here and there."""
    if not is_row(runs):
        return runs
    usual, gap = float(np.median([run.length_m for run in runs])), float(np.median(gaps_of(runs)))
    result = []
    for run in runs:
        parts = [one for one in fine if run.start <= one.start and one.stop <= run.stop]
        several = len(parts) > 1 and run.length_m > LIKE[1] * usual
        lengths, gaps = np.array([one.length_m for one in parts]), gaps_of(parts)
        same = several and _like_share(lengths, usual) == 1.0 and _like_share(gaps, gap) == 1.0
        result += parts if same else [run]
    return result


def _is_short(runs: list[Run], count: int) -> bool:
    """Return whether runs are short dashes along most of a line of `count` vertices."""
    period = float(np.median(np.diff([run.start for run in runs])))
    return period * STEP_M < SHORT_M and len(runs) >= LEAST_SHORT and period * len(runs) > SHORT_SHARE * count


def _groups(runs: list[Run], config: StyleConfig) -> list[tuple[int, int]]:
    """Return (first, last) of runs in a row without a run too long for a dash."""
    long = np.array([run.length_m > config.longest_dash_m for run in runs])
    cuts = [0, *(np.flatnonzero(np.diff(long.astype(int))) + 1).tolist(), len(runs)]
    parts = []
    for first, last in itertools.pairwise(cuts):
        parts += [(k, k + 1) for k in range(first, last)] if long[first] else [(first, last)]
    return parts


def _judged(runs: list[Run], config: StyleConfig, *, alone: bool) -> list[int]:
    """Return the code of each run of a group."""
    lengths = np.array([run.length_m for run in runs])
    if lengths[0] > config.longest_dash_m:
        return [SOLID]
    usual = float(np.median(lengths))
    if is_row(runs):
        return [SOLID if length > max(TOO_LONG * usual, usual + TOO_LONG_M) else DASHED for length in lengths]
    if lengths[lengths >= config.solid_run_m].sum() >= LONG_SHARE * lengths.sum():
        return [SOLID] * len(runs)
    painted = lengths.sum() / ((runs[-1].stop - runs[0].start) * STEP_M)
    if len(runs) >= LEAST_RUNS and painted >= FULL_SHARE:
        return [SOLID] * len(runs)
    if len(runs) >= LEAST_RUNS:  # beside a solid line, runs without a period are what wear left of it
        return [DASHED if alone else UNKNOWN] * len(runs)
    if len(runs) > 1 and lengths.max() <= LONE_DASH_M:
        return [DASHED] * len(runs)
    if len(runs) == 1 and alone:
        return [SOLID if lengths[0] >= LONE_DASH_M else UNKNOWN]
    return [UNKNOWN] * len(runs)
