"""Elements as drawn pixels, for the raster AP of MapVR.

Lines are drawn one pixel wide and widened, polygons filled and widened. Pixels are stored as sorted indices, so that
the cost of a site grows with the length of its lines, not with its area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from recon.arrays import F64, I64
from vectorize.evaluate.config import EvaluateConfig
from vectorize.road_map import Element

STRIDE = 1 << 24  # pixels in a row of the unbounded canvas
MIDDLE = 1 << 23  # zero lies in the middle, so that indices stay positive
LARGEST_PX = 1 << 21  # of one raster: longer lines are drawn in parts


@dataclass(frozen=True, slots=True, eq=False)
class PixelSet:
    """The pixels of one element."""

    index: I64  # row * STRIDE + column, sorted
    low: I64  # (2,) column, row of a box around them
    high: I64  # (2,) inclusive


def rasterize(
    element: Element, config: EvaluateConfig, *, canvas_m: tuple[float, float] | None, area: bool
) -> PixelSet:
    """Return the pixels of an element; pixels outside a canvas of (x, y) metres around zero are left out."""
    px = np.floor(element.vertices[:, :2] / config.raster_cell_m).astype(np.int64)
    margin = config.raster_line_px // 2
    low, high = px.min(axis=0) - margin, px.max(axis=0) + margin
    if canvas_m is not None:
        half = np.round(np.array(canvas_m) / config.raster_cell_m / 2).astype(np.int64)
        low, high = np.maximum(low, -half), np.minimum(high, half - 1)
    if np.any(low > high):
        return PixelSet(np.zeros(0, np.int64), low, high)
    if area:
        return PixelSet(_drawn(px, config.raster_line_px, low, high, fill=True), low, high)
    px = np.concatenate([px, px[:1]]) if element.closed else px
    parts = _parts(px, config.raster_line_px, low, high)
    return PixelSet(parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts)), low, high)


def _parts(px: I64, width_px: int, low: I64, high: I64) -> list[I64]:
    extent = px.max(axis=0) - px.min(axis=0) + width_px
    if int(extent.prod()) > LARGEST_PX and len(px) > 2:
        half = len(px) // 2
        return _parts(px[: half + 1], width_px, low, high) + _parts(px[half:], width_px, low, high)
    return [_drawn(px, width_px, low, high, fill=False)]


def _drawn(px: I64, width_px: int, low: I64, high: I64, *, fill: bool) -> I64:
    """Return the sorted pixels between two corners (column, row), inclusive, of a line or an area."""
    margin = width_px // 2
    corner = px.min(axis=0) - margin
    columns, rows = (px.max(axis=0) + margin - corner + 1).tolist()
    canvas = np.zeros((rows, columns), np.uint8)
    points = [(px - corner).astype(np.int32)]
    cv2.polylines(canvas, points, fill, 1, 1)
    if fill:
        cv2.fillPoly(canvas, points, 1)
    if margin:
        canvas = cv2.dilate(canvas, np.ones((width_px, width_px), np.uint8)).astype(np.uint8)
    first, end = np.maximum(low - corner, 0), np.maximum(high - corner + 1, 0)
    row, column = np.nonzero(canvas[first[1] : end[1], first[0] : end[0]])
    index: I64 = (row + (corner + first)[1] + MIDDLE) * STRIDE + (column + (corner + first)[0] + MIDDLE)
    return index


def iou_matrix(ours: Sequence[PixelSet], theirs: Sequence[PixelSet]) -> F64:
    """Return (P, G) intersection over union of drawn elements."""
    result = np.zeros((len(ours), len(theirs)))
    if not ours or not theirs:
        return result
    low_a, high_a = (np.array([getattr(s, side) for s in ours])[:, None] for side in ("low", "high"))
    low_b, high_b = (np.array([getattr(s, side) for s in theirs])[None] for side in ("low", "high"))
    meet = np.all((low_a <= high_b) & (low_b <= high_a), axis=-1)
    for i, j in np.argwhere(meet).tolist():
        a, b = ours[i].index, theirs[j].index
        if len(a) and len(b):
            place = np.minimum(np.searchsorted(b, a), len(b) - 1)
            common = int((b[place] == a).sum())
            result[i, j] = common / (len(a) + len(b) - common)
    return result
