"""Arrows, letters, signs and closed boxes: pieces of paint that are too wide for a line and leave a rectangle empty."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes, find_objects, label
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, I32, Bool
from vectorize.trace.crossings.paint_areas import TAILS
from vectorize.trace_config import HatchingConfig

PAINTED = 0.35  # probability of a cell of such a piece
CREST_SHARE = 0.6  # of the brightest cell of a piece: haze is fainter
SHORTEST_M = 1.0  # smaller pieces become no line anyway
MOST_BEND = 0.5 / 11.0  # 1/m, of a parabola: a line of the tightest road, 11 m in radius
BOX_PAINTED = 0.6  # of what a box encloses that may be paint
BOX_FILLED = 0.85  # of its rectangle that it and its inside fill: the cells at its sides are half filled
WORD_M = 0.7  # between two letters of a word, by which the window around a straight one is larger
LETTER_SHARE = 0.15  # of its length by which the ends of a straight letter are off those of the next one
LEAST_CELLS = 12  # through which a curve is laid


def find_symbols(paint: F32, cell_m: float, config: HatchingConfig) -> I32:
    """Return (H, W) the number of the arrow, letter or sign that a cell of paint belongs to, or 0."""
    labels, pieces = _pieces(paint, cell_m, config.symbol_long_m)
    found = np.zeros(paint.shape, dtype=np.int32)
    strokes = []
    for index, window in pieces.items():
        inside = labels[window] == index
        # A sign is one near its crest too: a dash with haze beside it is not.
        crest = inside & (paint[window] >= CREST_SHARE * paint[window][inside].max())
        if all(_is_symbol(_places(cells, cell_m), cell_m, config) for cells in (inside, crest)):
            found[window][inside] = index
        else:
            strokes.append(index)
    for index in strokes:
        window = pieces[index]
        if _is_letter(labels, found, index, window, cell_m):
            found[window][labels[window] == index] = index
    return found


def box_cells(paint: F32, cell_m: float, config: HatchingConfig) -> Bool:
    """Return (H, W) cells of paint that are the outlines of closed boxes: bays and bus stops."""
    labels, pieces = _pieces(paint, cell_m, config.box_long_m)
    found: Bool = np.zeros(paint.shape, dtype=bool)
    for index, window in pieces.items():
        inside = labels[window] == index
        if _is_box(inside, cell_m, config):
            found[window] |= inside
    return found


def _pieces(paint: F32, cell_m: float, longest_m: float) -> tuple[I32, dict[int, tuple[slice, ...]]]:
    """Return (H, W) numbers of connected paint, and the windows around the pieces that are no specks and no lines."""
    labels: I32 = label(paint > PAINTED, structure=np.ones((3, 3)))[0].astype(np.int32, copy=False)
    sizes = ((n, window, max(s.stop - s.start for s in window)) for n, window in enumerate(find_objects(labels), 1))
    return labels, {n: window for n, window, size in sizes if SHORTEST_M <= size * cell_m <= longest_m}


def _is_letter(labels: I32, found: I32, index: int, window: tuple[slice, ...], cell_m: float) -> bool:
    """Return whether a stroke begins and ends beside a sign, as a straight letter does beside others of its word."""
    pad = round(WORD_M / cell_m) + 1
    around = tuple(slice(max(0, s.start - pad), s.stop + pad) for s in window)
    stroke = _places(labels[around] == index, cell_m)
    axis = np.linalg.eigh(np.cov(stroke.T))[1][:, 1]
    span = np.quantile(stroke @ axis, TAILS)
    for number in np.unique(found[around]):
        if number == 0:
            continue
        sign = _places(found[around] == number, cell_m)
        ends_off_m = np.abs(np.quantile(sign @ axis, TAILS) - span).max()
        if ends_off_m <= max(LETTER_SHARE * float(np.ptp(span)), cell_m) and _apart_m(stroke, sign) <= WORD_M:
            return True
    return False


def _apart_m(one: F64, other: F64) -> float:
    return float(np.asarray(cKDTree(one).query(other)[0]).min())


def _is_box(cells: Bool, cell_m: float, config: HatchingConfig) -> bool:
    """Return whether paint is the outline of a bay or a bus stop: with what it encloses it fills its rectangle."""
    filled = binary_fill_holes(cells)
    if cells.sum() > BOX_PAINTED * filled.sum():
        return False
    corners = np.argwhere(filled)[:, ::-1].astype(np.float32)
    wide_m, long_m = (cell_m * (side + 1.0) for side in sorted(cv2.minAreaRect(corners)[1]))
    fits = config.box_wide_m <= wide_m <= config.box_widest_m and long_m <= config.box_long_m
    return fits and bool(filled.sum() * cell_m**2 >= BOX_FILLED * wide_m * long_m)


def _places(cells: Bool, cell_m: float) -> F64:
    return cell_m * np.argwhere(cells)[:, ::-1].astype(np.float64)


def _is_symbol(xy_m: F64, cell_m: float, config: HatchingConfig) -> bool:
    """Return whether cells (N, 2) spread farther from a curve than a line does, and do not fill a rectangle."""
    if len(xy_m) < LEAST_CELLS:
        return False
    centred = xy_m - xy_m.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1]
    across, along = (centred @ axes).T
    # A dash bends no more than its road does: a tighter curve is the hook of an arrow.
    bend = float(np.clip(np.polyfit(along, across, 2)[0], -MOST_BEND, MOST_BEND))
    bent = across - bend * along**2
    away = bent - np.polyval(np.polyfit(along, bent, 1), along)
    wide_m, long_m = (float(np.diff(np.quantile(v, TAILS))[0]) + cell_m for v in (away, along))
    return wide_m >= config.symbol_wide_m and len(xy_m) * cell_m**2 < config.symbol_filled * wide_m * long_m
