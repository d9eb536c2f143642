"""Arrows, letters and signs: pieces of paint that are too wide for a line, and leave their rectangle half empty."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects, label

from recon.arrays import F32, F64, Bool
from vectorize.trace.crossings.paint_areas import TAILS
from vectorize.trace_config import HatchingConfig

PAINTED = 0.35  # probability of a cell of such a piece
CREST_SHARE = 0.6  # of the brightest cell of a piece: haze is fainter
SHORTEST_M = 1.0  # smaller pieces become no line anyway
MOST_BEND = 0.5 / 11.0  # 1/m, of a parabola: a line of the tightest road, 11 m in radius
LEAST_CELLS = 12  # through which a curve is laid


def symbol_cells(paint: F32, cell_m: float, config: HatchingConfig) -> Bool:
    """Return (H, W) cells of paint that belong to arrows, letters and signs."""
    labels, _ = label(paint > PAINTED, structure=np.ones((3, 3)))
    found: Bool = np.zeros(paint.shape, dtype=bool)
    for index, window in enumerate(find_objects(labels), start=1):
        extent_m = max(s.stop - s.start for s in window) * cell_m
        if not SHORTEST_M <= extent_m <= config.symbol_long_m:
            continue
        inside = labels[window] == index
        # A sign is one near its crest too: a dash with haze beside it is not.
        crest = inside & (paint[window] >= CREST_SHARE * paint[window][inside].max())
        if all(_is_symbol(_places(cells, cell_m), cell_m, config) for cells in (inside, crest)):
            found[window] |= inside
    return found


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
