"""Connected areas of painted classes in a raster of their probability."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.ndimage import find_objects, label

from recon.arrays import F32, U8, Bool
from vectorize.evidence import Evidence

Area = tuple[tuple[slice, slice], Bool, F32]

LEAST = 0.25  # probability that paint must have
PAD = 2  # cells around a component, so that its contour closes


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
    size = max(3, round(wide_m / evidence.grid.cell_m) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)
