"""Connected areas of painted classes in a raster of their probability."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.ndimage import find_objects, label

from recon.arrays import F32, F64, U8, Bool
from vectorize.evidence import Evidence

Area = tuple[tuple[slice, slice], Bool, F32]

LEAST = 0.25  # probability that paint must have: half of what half-worn paint keeps
CLOSE_M = 0.5  # gap within one line of paint
LINE_WIDTH_M = 0.7  # an area no wider is one line or stripe
PAD = 2  # cells around a component, so that its contour closes
LEAST_DISC_PX = 3  # a smaller kernel closes nothing
TAILS = (0.01, 0.99)  # quantiles between which a line reaches: ragged pixels lie beyond
STRIP = 12.0  # squared width of an even strip over its variance


def areas_of(evidence: Evidence, raster: F32, gap_m: float) -> Iterator[Area]:
    """Yield (window, cells of the component in it, closed probability in it) of areas that closing makes one."""
    kernel = disc(evidence, gap_m)
    size = len(kernel)
    rows, columns = np.flatnonzero((raster > LEAST).any(axis=1)), np.flatnonzero((raster > LEAST).any(axis=0))
    if not rows.size:
        return
    pad = size + PAD
    top, left = max(0, int(rows[0]) - pad), max(0, int(columns[0]) - pad)
    part = raster[top : int(rows[-1]) + pad, left : int(columns[-1]) + pad]
    # Grey closing keeps the soft outer edge, so that the contour stays sub-pixel.
    closed: F32 = cv2.morphologyEx(part, cv2.MORPH_CLOSE, kernel).astype(np.float32, copy=False)
    components, _ = label(closed > LEAST, structure=np.ones((3, 3)))
    for index, window in enumerate(find_objects(components), start=1):
        shifted = tuple(slice(s.start + o, s.stop + o) for s, o in zip(window, (top, left), strict=True))
        yield (shifted[0], shifted[1]), components[window] == index, closed[window]


def disc(evidence: Evidence, wide_m: float) -> U8:
    """Return the kernel of a disc of a diameter; at least three cells."""
    size = max(LEAST_DISC_PX, round(wide_m / evidence.grid.cell_m) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)


def axis_of(evidence: Evidence, window: tuple[slice, slice], weight: F32) -> tuple[F64, float, float] | None:
    """Return the axis (2, 2) in world metres of weighted cells, their mean weight, and their width across it.

    The width is that of an even strip which spreads as far: a ragged cell does not widen a line.
    """
    rows, columns = np.nonzero(weight > LEAST)
    if len(rows) < 2:
        return None
    px = np.stack([columns + window[1].start + 0.5, rows + window[0].start + 0.5], axis=1)
    xy, w = evidence.grid.to_m(px), weight[rows, columns]
    centre = np.average(xy, axis=0, weights=w)
    spread, axes = np.linalg.eigh(np.cov((xy - centre).T, aweights=w))
    along = (xy - centre) @ axes[:, 1]
    low, high = np.quantile(along, TAILS)
    # Half a cell stands out beyond the outermost centres.
    length = float(high - low) + evidence.grid.cell_m
    line = centre + np.array([[-0.5], [0.5]]) * length * axes[:, 1] + (low + high) / 2 * axes[:, 1]
    return line, float(np.clip(w.mean(), 0, 1)), float(np.sqrt(STRIP * max(spread[0], 0.0)))
