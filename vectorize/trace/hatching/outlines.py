"""The lines along which bars end: where bars are taken away, a line goes on as it looks elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, U8, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.lines.bridge import bridge
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import TraceConfig

GAP_M = 4.0  # longest piece of a line that the end of a bar hides
TURN_DEG = 20.0  # over it: beside bars a ridge wavers
PROFILE_M, PROFILE_STEP_M = 0.6, 0.05  # to each side of a line, how far its paint is read
USUAL_QUANTILE = 0.3  # of the paint along a line: a bar beside it only adds paint
SMOOTH_M = 0.4  # of the course of a line where a bar was
LEAST_FREE = 3  # vertices of a line beside which no bar ends


def paint_of_lines(evidence: Evidence, strands: Sequence[Strand], bars: U8, config: TraceConfig) -> F32:
    """Return (H, W) marking probability that lines explain in the cells of `bars` (H, W); 0 far from lines.

    The course of a line is that of its parts beside no bar, and its profile across is its usual one.
    """
    near = replace(config, bridge_gap_m=min(GAP_M, config.bridge_gap_m), bridge_angle_deg=TURN_DEG)
    result: F32 = np.zeros(bars.shape, np.float32)
    free_ends = [_without_hidden_ends(strand, _hidden(evidence, bars, strand.xy_m)) for strand in strands]
    for strand in bridge(free_ends, near, []):
        hidden = _hidden(evidence, bars, strand.xy_m)
        if strand.length_m >= config.min_divider_m and hidden.any():
            _draw(evidence, result, bars, _course(strand.xy_m, hidden))
    return result


def values_at(evidence: Evidence, raster: NDArray[Any], xy_m: F64) -> NDArray[Any]:
    """Return the values (N,) of the cells of a raster (H, W) that hold world points (N, 2)."""
    column, row = np.floor(evidence.grid.to_px(xy_m)).astype(np.int64).T
    height, width = raster.shape
    result: NDArray[Any] = raster[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return result


def _hidden(evidence: Evidence, bars: U8, xy_m: F64) -> Bool:
    hidden: Bool = values_at(evidence, bars, xy_m) > 0
    return hidden


def _without_hidden_ends(strand: Strand, hidden: Bool) -> Strand:
    """Return a strand without its ends in a bar, into which they bend; where bars stand close, long ends stay."""
    free = np.flatnonzero(~hidden)
    if len(free) < LEAST_FREE:
        return strand
    most = round(GAP_M / STEP_M)
    first = int(free[0]) if free[0] <= most else 0
    last = int(free[-1]) if len(hidden) - 1 - free[-1] <= most else len(hidden) - 1
    return strand.part(first, last + 1) if last - first >= LEAST_FREE else strand


def _course(xy_m: F64, hidden: Bool) -> F64:
    """Return a line that goes straight on where it is `hidden` (N,): there its ridge bends towards the bar."""
    bends = np.zeros(len(hidden), dtype=bool)
    for start, stop in polyline.runs(hidden):
        bends[start:stop] = start > 0 and stop < len(hidden) and (stop - start) * STEP_M <= GAP_M
    free, index = np.flatnonzero(~bends), np.arange(len(bends))
    course = np.stack([np.interp(index, free, xy_m[free, axis]) for axis in (0, 1)], axis=1)
    return polyline.smooth(polyline.resample(course, STEP_M), SMOOTH_M / STEP_M)


def _draw(evidence: Evidence, result: F32, bars: U8, line: F64) -> None:
    """Write the usual profile of a line into the cells of bars beside it."""
    offset = np.arange(-PROFILE_M, PROFILE_M + PROFILE_STEP_M / 2, PROFILE_STEP_M)
    across = evidence.sample(evidence.marking, polyline.across(line, offset))
    profile = np.quantile(across, USUAL_QUANTILE, axis=0)
    around = np.zeros(bars.shape, np.uint8)
    px = np.floor(evidence.grid.to_px(line)).astype(np.int32)
    cv2.polylines(around, [px], False, 1, round(2 * PROFILE_M / evidence.grid.cell_m))
    rows, columns = np.nonzero(around & bars)
    places = evidence.grid.to_m(np.stack([columns, rows], axis=1) + 0.5)
    nearest = np.asarray(cKDTree(line).query(places)[1], dtype=np.int64)
    normal = polyline.left_normals(polyline.tangents(line))
    left_m = np.einsum("ij,ij->i", places - line[nearest], normal[nearest])
    value = np.interp(left_m, offset, profile, left=0.0, right=0.0).astype(np.float32)
    result[rows, columns] = np.maximum(result[rows, columns], value)
