"""Hatched areas, and the paint that remains for lines of traffic when all that is none is taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, I32, U8, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.hatching.bar_groups import SAME_DEG, BarGroup, bar_groups
from vectorize.trace.hatching.outlines import paint_of_lines, values_at
from vectorize.trace.hatching.symbols import box_cells, find_symbols
from vectorize.trace.lines.ridge import find_strands
from vectorize.trace.lines.strand import Strand
from vectorize.trace_config import TraceConfig

BAR_BLUR_M = 0.25  # beyond a bar's width, where its paint ends
END_M = 1.0  # beyond the ends of its ridge, which ends before an outline
TURN_SMOOTH = 3.0  # vertices over which the direction of a strand is smoothed
CORNER_DEG = 20.0  # turn within 2 m at which a line is no single bar; that of the tightest road is less
NEXT_BAR = 1.3  # times the distance of neighbouring bars, in which the next one lies
LEAST_VERTICES = 3  # of a piece of a line
LATTICE_M = 0.45  # around a lattice: its outline is part of it
RING_SIMPLIFY_M = 0.15
LINE_BLUR_CELLS = 1.5  # that a line is wider than its ridge, where it is taken away before signs are searched
LETTERS_M, LEAST_STROKES = 5.0, 3  # a sign this small of so many strokes is letters; a chevron has two
SHIFT = 4  # binary digits after the point in OpenCV's fixed-point coordinates


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hatched:
    """Paint that is not a line of traffic."""

    areas: list[tuple[F64, float]]  # ring (N, 2) in world metres without repeated end, mean evidence
    rest: Evidence  # without that paint


def find_hatched(evidence: Evidence, edges: Sequence[F64], config: TraceConfig) -> Hatched:
    """Return hatched areas, and the evidence without the paint of bars, lattices, bays, arrows and signs.

    `edges` are the sides of the road, dense lines (N, 2). The lines beside a hatched area stay; those around a box
    junction are part of it. Lines between bays and signs are no hatched areas: they are only taken away.
    """
    paint = np.maximum(evidence.marking, evidence.other_marking)
    # At a small angle the ridge of an outline turns into a bar, and is cut there.
    strands = find_strands(evidence, paint, replace(config.ridge, corner_deg=CORNER_DEG))
    strands, signs, of_sign = _without_letters(evidence, paint, strands, config)
    groups = bar_groups(strands, edges, of_sign, config.hatching)
    away: U8 = np.zeros(paint.shape, np.uint8)
    bars = {int(i) for group in groups for i in group.members}
    for i in bars:
        strand = strands[i]
        _draw(evidence, away, _longer(strand), strand.width_m + 2 * BAR_BLUR_M)
    lines = []
    for strand in (s for i, s in enumerate(strands) if i not in bars):
        as_bar = _like_a_bar(strand, groups, strands)
        for first, last in polyline.runs(as_bar):
            _draw(evidence, away, strand.xy_m[first:last], strand.width_m + 2 * BAR_BLUR_M)
        lines += [strand.part(a, b) for a, b in polyline.runs(~as_bar) if b - a >= LEAST_VERTICES]
    explained = paint_of_lines(evidence, lines, away, config)
    for group in groups:
        if group.lattice:
            for part in shapely.get_parts(group.place.buffer(LATTICE_M, join_style="mitre")):
                px = np.round((evidence.grid.to_px(shapely.get_coordinates(part.exterior)) - 0.5) * 2**SHIFT)
                cv2.fillPoly(away, [px.astype(np.int32)], 1, cv2.LINE_8, SHIFT)
                cv2.fillPoly(explained, [px.astype(np.int32)], 0.0, cv2.LINE_8, SHIFT)
    areas = [area for group in groups if not group.comb for area in _areas(evidence, group, strands, config)]
    marking = np.where(away > 0, np.minimum(explained, evidence.marking), evidence.marking)
    return Hatched(areas=areas, rest=replace(evidence, marking=np.where(signs, np.float32(0), marking)))


def _without_letters(
    evidence: Evidence, paint: F32, strands: Sequence[Strand], config: TraceConfig
) -> tuple[list[Strand], Bool, Bool]:
    """Return the strands but those of letters, the cells (H, W) of signs, and which strands (N,) are parts of signs.

    A sign may touch the line beside it: it is what remains without the line.
    """
    cell_m = evidence.grid.cell_m
    lines: U8 = np.zeros(paint.shape, np.uint8)
    for strand in strands:
        if strand.length_m > config.hatching.symbol_long_m:
            _draw(evidence, lines, strand.xy_m, strand.width_m + LINE_BLUR_CELLS * cell_m)
    symbols = find_symbols(np.where(lines > 0, np.float32(0), paint), cell_m, config.hatching)
    sign = np.array([_sign_of(evidence, symbols, strand) for strand in strands], dtype=np.int64)
    strokes = np.bincount(sign, minlength=1)
    windows = dict(enumerate(find_objects(symbols), start=1))
    small = {
        n for n, window in windows.items() if window and max(s.stop - s.start for s in window) * cell_m <= LETTERS_M
    }
    kept = [k for k, n in enumerate(sign.tolist()) if n not in small or strokes[n] < LEAST_STROKES]
    signs = (_grown(symbols > 0) & (lines == 0)) | _grown(box_cells(paint, cell_m, config.hatching))
    return [strands[k] for k in kept], signs, sign[kept] > 0


def _grown(cells: Bool) -> Bool:
    """Return cells (H, W) with those around them, where the edge of their paint lies."""
    return np.asarray(cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))).astype(bool)


def _sign_of(evidence: Evidence, symbols: I32, strand: Strand) -> int:
    """Return the number of the sign that most of a strand lies in, or 0."""
    return int(np.bincount(values_at(evidence, symbols, strand.xy_m)).argmax())


def _like_a_bar(strand: Strand, groups: Sequence[BarGroup], strands: Sequence[Strand]) -> Bool:
    """Return (N,) where a strand is a bar of a group: at a small angle the ridge of an outline turns into one."""
    result = np.zeros(len(strand.xy_m), dtype=bool)
    way = polyline.doubled(polyline.tangents(polyline.smooth(strand.xy_m, TURN_SMOOTH)))
    for group in groups:
        # The bar beside the last one found may be the one that hides in an outline.
        around = group.place.buffer(NEXT_BAR * group.apart_m if group.across else 0.0)
        inside = shapely.contains_xy(around, strand.xy_m)
        if inside.any():
            ends = np.array([strands[i].xy_m[[0, -1]] for i in group.members])
            nearest = np.asarray(cKDTree(ends.mean(axis=1)).query(strand.xy_m)[1])
            turn = np.angle(way / polyline.doubled(ends[:, 1] - ends[:, 0])[nearest]) / 2
            result |= inside & (np.abs(turn) < np.radians(SAME_DEG))
    return result


def _areas(
    evidence: Evidence, group: BarGroup, strands: Sequence[Strand], config: TraceConfig
) -> list[tuple[F64, float]]:
    """Return the outlines of a group and the evidence of its bars."""
    value = float(np.mean([float(strands[i].paint.mean()) for i in group.members]))
    result = []
    for part in shapely.get_parts(group.place.simplify(RING_SIMPLIFY_M)):
        if part.area >= config.hatching.min_area_m2:
            ring = shapely.get_coordinates(part.exterior)[:-1]
            result.append((ring if part.exterior.is_ccw else ring[::-1], value))
    return result


def _longer(strand: Strand) -> F64:
    """Return the line of a strand up to the ends of its paint: a ridge ends before them."""
    directions = polyline.tangents(strand.xy_m)
    ends = strand.xy_m[0] - END_M * directions[0], strand.xy_m[-1] + END_M * directions[-1]
    return np.concatenate([ends[0][None], strand.xy_m, ends[1][None]])


def _draw(evidence: Evidence, cells: U8, line: F64, wide_m: float) -> None:
    px = np.round((evidence.grid.to_px(line) - 0.5) * 2**SHIFT).astype(np.int32)
    cv2.polylines(cells, [px], False, 1, max(1, round(wide_m / evidence.grid.cell_m)), cv2.LINE_8, SHIFT)
