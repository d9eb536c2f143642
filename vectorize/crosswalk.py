"""Pedestrian crossings as polygons and stop lines as lines, from areas of their class probability."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import find_objects, label
from skimage.measure import find_contours

from vectorize.seen import Evidence

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

STRIPE_GAP_M = 0.9  # widest space between the stripes of one zebra
RECTANGLE_SHARE = 0.85  # a crossing that fills its rectangle this much is published as that rectangle
PAD = 2  # cells around a component, so that its contour closes


def find_crossings(evidence: Evidence, *, simplify_m: float, min_area_m2: float) -> list[tuple[F64, float]]:
    """Return (ring (N, 2) in world metres without repeated end, mean evidence) of each crossing."""
    result = []
    for window, inside, closed in _areas(evidence, evidence.crosswalk, STRIPE_GAP_M):
        soft = np.pad(np.where(inside, closed, np.float32(0)), PAD)
        rings = [shapely.Polygon(c[:, ::-1]) for c in _contours(soft) if len(c) >= 4]
        if not rings:
            continue
        shift = np.array([window[1].start - PAD + 0.5, window[0].start - PAD + 0.5])
        outline = max(rings, key=lambda ring: float(ring.area))
        polygon = shapely.Polygon(evidence.grid.to_m(np.asarray(outline.exterior.coords) + shift)).buffer(0)
        if polygon.is_empty or polygon.area < min_area_m2:
            continue
        value = float(np.clip(evidence.crosswalk[window][inside & (evidence.crosswalk[window] > 0.25)], 0, 1).mean())
        result.append((_ring(polygon, simplify_m), value))
    return sorted(result, key=lambda item: (-shapely.Polygon(item[0]).area, *item[0][0].tolist()))


def find_stop_lines(evidence: Evidence, *, min_length_m: float = 1.0) -> list[tuple[F64, float]]:
    """Return (line (2, 2) in world metres, mean evidence) of each area of STOP_LINE: its axis through the middle."""
    result = []
    for window, inside, _ in _areas(evidence, evidence.stop_line, 0.5):
        weight = np.where(inside, evidence.stop_line[window], 0.0)
        rows, columns = np.nonzero(weight > 0.25)
        if len(rows) < 2:
            continue
        px = np.stack([columns + window[1].start + 0.5, rows + window[0].start + 0.5], axis=1)
        xy, w = evidence.grid.to_m(px), weight[rows, columns]
        centre = np.average(xy, axis=0, weights=w)
        axes = np.linalg.eigh(np.cov((xy - centre).T, aweights=w))[1]
        along, across = (xy - centre) @ axes[:, 1], (xy - centre) @ axes[:, 0]
        # Half a cell stands out beyond the outermost centres; the 1 % tails are ragged pixels.
        low, high = np.quantile(along, [0.01, 0.99])
        length = float(high - low) + evidence.grid.cell_m
        if length >= min_length_m and length > 1.5 * float(np.ptp(across)):
            line = centre + np.array([[-0.5], [0.5]]) * length * axes[:, 1] + (low + high) / 2 * axes[:, 1]
            result.append((line, float(np.clip(w.mean(), 0, 1))))
    return sorted(result, key=lambda item: tuple(item[0].ravel().tolist()))


def _areas(
    evidence: Evidence, raster: F32, gap_m: float
) -> Iterator[tuple[tuple[slice, slice], npt.NDArray[np.bool_], F32]]:
    """Yield (window, cells of the component in it, closed probability in it) of areas that closing makes one."""
    cell = evidence.grid.cell_m
    size = max(3, round(gap_m / cell) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    rows, columns = np.flatnonzero((raster > 0.25).any(axis=1)), np.flatnonzero((raster > 0.25).any(axis=0))
    if not rows.size:
        return
    pad = size + PAD
    top, left = max(0, int(rows[0]) - pad), max(0, int(columns[0]) - pad)
    part = raster[top : int(rows[-1]) + pad, left : int(columns[-1]) + pad]
    # Grey closing keeps the soft outer edge, so that the contour stays sub-pixel.
    closed: F32 = cv2.morphologyEx(part, cv2.MORPH_CLOSE, kernel).astype(np.float32, copy=False)
    components, _ = label(closed > 0.25, structure=np.ones((3, 3)))
    for index, window in enumerate(find_objects(components), start=1):
        shifted = tuple(slice(s.start + o, s.stop + o) for s, o in zip(window, (top, left), strict=True))
        yield (shifted[0], shifted[1]), components[window] == index, closed[window]


def _contours(soft: F32) -> list[F64]:
    result: list[F64] = find_contours(soft, 0.5)  # type: ignore[no-untyped-call]
    return result


def _ring(polygon: shapely.Polygon | shapely.MultiPolygon, simplify_m: float) -> F64:
    """Return the outline: its rectangle where that says it all, else simplified."""
    if polygon.geom_type == "MultiPolygon":
        polygon = max(polygon.geoms, key=lambda p: float(p.area))
    rectangle = polygon.minimum_rotated_rectangle
    if polygon.area > RECTANGLE_SHARE * rectangle.area:
        # The rectangle of corners rounded by the raster is a little too large: scale it to the polygon's area.
        scale = float(np.sqrt(polygon.area / rectangle.area))
        centre = np.array(rectangle.centroid.coords[0])
        corners = np.asarray(rectangle.exterior.coords)[:-1]
        ring: F64 = centre + scale * (corners - centre)
    else:
        ring = np.asarray(polygon.simplify(simplify_m).exterior.coords)[:-1]
    return ring if shapely.LinearRing(ring).is_ccw else ring[::-1]
