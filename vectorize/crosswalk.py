"""Pedestrian crossings as polygons and stop lines as lines, from areas of their class probability."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import find_objects, label
from skimage.measure import find_contours

from vectorize.seen import Evidence

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

Area = tuple[tuple[slice, slice], npt.NDArray[np.bool_], F32]

STRIPE_GAP_M = 0.9  # widest space between the stripes of one zebra
RECTANGLE_SHARE = 0.85  # a crossing that fills its rectangle this much is published as that rectangle
LEAST = 0.25  # probability that paint must have
LINE_WIDTH_M = 0.7  # a patch no wider is one line or stripe
SHORTEST_M = 1.0  # shorter patches are specks, which join nothing
BLOCK_GAP_M = 2.0  # widest gap, worn or between stripes, within one crossing
PAIR_GAP_M = 5.0  # between the two lines of a crossing without stripes
FILLED_SHARE = 0.65  # of their common rectangle that two patches and the gap between them must fill
PAD = 2  # cells around a component, so that its contour closes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """A connected piece of crosswalk paint."""

    polygon: shapely.Polygon  # world metres
    value: float  # mean evidence
    painted_m2: float  # that the evidence is the mean of
    thin: bool  # one line or stripe


def find_crossings(evidence: Evidence, *, simplify_m: float, min_area_m2: float) -> list[tuple[F64, float]]:
    """Return (ring (N, 2) in world metres without repeated end, mean evidence) of each crossing.

    Stripes close to each other are one area from the start; stripes farther apart, the two lines of a crossing
    without stripes and zebras with a worn gap are joined to one polygon. A line or stripe that stays alone is none.
    """
    patches = [
        patch for area in _areas(evidence, evidence.crosswalk, STRIPE_GAP_M) if (patch := _patch(evidence, area))
    ]
    found = [p for p in _joined(evidence, patches) if not p.thin and p.polygon.area >= min_area_m2]
    result = [(_ring(p.polygon, simplify_m), p.value) for p in found]
    return sorted(result, key=lambda item: (-shapely.Polygon(item[0]).area, *item[0][0].tolist()))


def _patch(evidence: Evidence, area: Area) -> Patch | None:
    window, inside, closed = area
    soft = np.pad(np.where(inside, closed, np.float32(0)), PAD)
    # Half of what the paint reaches here: paint that the class map is less sure of is no smaller for it.
    level = float(np.clip(0.5 * np.quantile(closed[inside], 0.75), LEAST, 0.5))
    rings = [shapely.Polygon(c[:, ::-1]) for c in _contours(soft, level) if len(c) >= 4]
    if not rings:
        return None
    shift = np.array([window[1].start - PAD + 0.5, window[0].start - PAD + 0.5])
    outline = max(rings, key=lambda ring: float(ring.area))
    polygon = _largest(shapely.Polygon(evidence.grid.to_m(np.asarray(outline.exterior.coords) + shift)).buffer(0))
    paint = evidence.crosswalk[window][inside & (evidence.crosswalk[window] > LEAST)]
    if polygon.is_empty or not paint.size:
        return None
    value = float(np.clip(paint, 0, 1).mean())
    painted_m2 = paint.size * evidence.grid.cell_m**2
    return Patch(polygon=polygon, value=value, painted_m2=painted_m2, thin=_sides(polygon)[0] <= LINE_WIDTH_M)


def _joined(evidence: Evidence, patches: list[Patch]) -> list[Patch]:
    """Join patches that together fill a rectangle but for the gap between them, narrowest gap first."""
    patches = [p for p in patches if _sides(p.polygon)[1] >= SHORTEST_M]
    while True:
        near = shapely.STRtree([p.polygon for p in patches])
        best: tuple[float, int, int] | None = None
        for i, patch in enumerate(patches):
            for j in near.query(patch.polygon.buffer(PAIR_GAP_M)).tolist():
                gap_m = patch.polygon.distance(patches[j].polygon)
                better = j > i and (best is None or (gap_m, i, j) < best)
                if better and _belong(evidence, patch, patches[j], gap_m):
                    best = (gap_m, i, j)
        if best is None:
            return patches
        one, other = patches[best[1]], patches[best[2]]
        painted_m2 = one.painted_m2 + other.painted_m2
        value = (one.value * one.painted_m2 + other.value * other.painted_m2) / painted_m2
        hull = shapely.union(one.polygon, other.polygon).convex_hull
        whole = Patch(polygon=hull, value=value, painted_m2=painted_m2, thin=_sides(hull)[0] <= LINE_WIDTH_M)
        patches = [p for k, p in enumerate(patches) if k not in best[1:]] + [whole]


def _belong(evidence: Evidence, one: Patch, other: Patch, gap_m: float) -> bool:
    """Return whether two patches are parts of one crossing."""
    lines = one.thin and other.thin
    longest = min(_sides(p.polygon)[1] for p in (one, other))
    if gap_m > (min(PAIR_GAP_M, 0.9 * longest) if lines else BLOCK_GAP_M):
        return False
    hull = shapely.union(one.polygon, other.polygon).convex_hull
    ends = shapely.get_coordinates(shapely.shortest_line(one.polygon, other.polygon))
    step = ends[1] - ends[0]
    across = np.array([-step[1], step[0]]) / max(float(np.hypot(*step)), 1e-9)
    wide = min(float(np.ptp(shapely.get_coordinates(p.polygon) @ across)) for p in (one, other))
    filled = one.polygon.area + other.polygon.area + gap_m * wide
    if filled < FILLED_SHARE * hull.minimum_rotated_rectangle.area:
        return False
    # An island in the gap parts two crossings.
    middles = np.array([p.polygon.centroid.coords[0] for p in (one, other)])
    share = np.linspace(0.0, 1.0, 9)[:, None]
    between = np.concatenate([start + share * (end - start) for start, end in (ends, middles)])
    outside = evidence.is_known(between) & (evidence.sample(evidence.drivable, between) < 0.5)
    return not outside.any()


def _sides(polygon: shapely.Polygon) -> tuple[float, float]:
    """Return the shorter and the longer side of the smallest rectangle around a polygon."""
    corners = shapely.get_coordinates(polygon.minimum_rotated_rectangle)
    if len(corners) < 4:
        return 0.0, float(polygon.length) / 2
    sides = np.hypot(*np.diff(corners[:3], axis=0).T)
    return float(sides.min()), float(sides.max())


def find_stop_lines(evidence: Evidence, *, min_length_m: float = 1.0) -> list[tuple[F64, float]]:
    """Return (line (2, 2) in world metres, mean evidence) of each area of STOP_LINE: its axis through the middle."""
    result = []
    for window, inside, _ in _areas(evidence, evidence.stop_line, 0.5):
        weight = np.where(inside, evidence.stop_line[window], 0.0)
        rows, columns = np.nonzero(weight > LEAST)
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


def _areas(evidence: Evidence, raster: F32, gap_m: float) -> Iterator[Area]:
    """Yield (window, cells of the component in it, closed probability in it) of areas that closing makes one."""
    cell = evidence.grid.cell_m
    size = max(3, round(gap_m / cell) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
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


def _contours(soft: F32, level: float) -> list[F64]:
    result: list[F64] = find_contours(soft, level)  # type: ignore[no-untyped-call]
    return result


def _largest(polygon: shapely.Polygon | shapely.MultiPolygon) -> shapely.Polygon:
    return max(polygon.geoms, key=lambda p: float(p.area)) if polygon.geom_type == "MultiPolygon" else polygon


def _ring(polygon: shapely.Polygon, simplify_m: float) -> F64:
    """Return the outline: its rectangle where that says it all, else simplified."""
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
