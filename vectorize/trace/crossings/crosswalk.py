"""Pedestrian crossings as polygons, from areas of their class probability."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from skimage.measure import find_contours

from recon.arrays import F32, F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.crossing_pair import PAIR_GAP_M, find_line_pairs
from vectorize.trace.crossings.paint_areas import LEAST, LINE_WIDTH_M, PAD, Area, areas_of, disc

STRIPE_GAP_M = 0.9  # widest space between the stripes of one zebra
RECTANGLE_SHARE = 0.9  # a crossing that fills its rectangle this much is published as that rectangle
CONVEX_SHARE = 0.85  # of its hull, and as that
SHORTEST_M = 1.0  # shorter patches are specks, which join nothing
BLOCK_GAP_M = 2.0  # widest gap, worn or between stripes, within one crossing
STRIPE_M = 5.0  # longest stripe
PAIR_RIM_M = 0.5  # around a pair of lines: pieces of them that are called crosswalk lie there
ALIKE_SHARE = 0.7  # of the wider of two parts of one zebra that the other must reach
PLATEAU_M = 1.2  # how far around a rim its paint's full strength is looked for
FRAYED_M = 0.3  # half of the width of spikes and necks that the class map frays into a rim
RIM_STEP_M = 0.05
RIM_SHARE = 0.7  # of a side's rim that lies within the rectangle: frays stand out, a hidden corner lies far inside
FILLED_SHARE = 0.65  # of their common rectangle that two patches and the gap between them must fill


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
    Two lines across the whole road are a crossing if only parts of them are called crosswalk.
    """
    pairs = find_line_pairs(evidence)
    of_pairs = shapely.union_all([polygon for polygon, _ in pairs]).buffer(PAIR_RIM_M)
    patches = [
        patch for area in areas_of(evidence, evidence.crosswalk, STRIPE_GAP_M) if (patch := _patch(evidence, area))
    ]
    patches = [patch for patch in patches if not of_pairs.contains(patch.polygon.centroid)]
    joined = [(p.polygon, p.value) for p in _joined(evidence, patches) if not p.thin]
    found = [(polygon, value) for polygon, value in joined + pairs if polygon.area >= min_area_m2]
    result = [(_ring(polygon, simplify_m), value) for polygon, value in found]
    return sorted(result, key=lambda item: (-shapely.Polygon(item[0]).area, *item[0][0].tolist()))


def _patch(evidence: Evidence, area: Area) -> Patch | None:
    window, inside, closed = area
    # Half of what the paint reaches near by: paint that the class map is less sure of is no smaller for it.
    reach = cv2.dilate(closed, disc(evidence, PLATEAU_M))
    share = closed / np.maximum(reach, LEAST)
    soft = np.pad(np.where(cv2.dilate(inside.astype(np.uint8), np.ones((3, 3))) > 0, share, np.float32(0)), PAD)
    rings = [shapely.Polygon(c[:, ::-1]) for c in _contours(soft) if len(c) >= 4]
    if not rings:
        return None
    shift = np.array([window[1].start - PAD + 0.5, window[0].start - PAD + 0.5])
    outlines = [shapely.Polygon(evidence.grid.to_m(shapely.get_coordinates(ring) + shift)) for ring in rings]
    # Where sure paint meets unsure paint, the latter is less than half of what is near by: close that seam.
    reach_m = 0.5 * PLATEAU_M
    polygon = _largest(shapely.union_all(shapely.buffer(outlines, reach_m)).buffer(-reach_m))
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
    wide = sorted(float(np.ptp(shapely.get_coordinates(p.polygon) @ across)) for p in (one, other))
    if not lines and (wide[0] < ALIKE_SHARE * wide[1] or (one.thin != other.thin and wide[1] > STRIPE_M)):
        return False  # a stop line beside a zebra rather than one more stripe
    filled = one.polygon.area + other.polygon.area + gap_m * wide[0]
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


def _contours(soft: F32) -> list[F64]:
    result: list[F64] = find_contours(soft)  # type: ignore[no-untyped-call]
    return result


def _largest(polygon: shapely.Polygon | shapely.MultiPolygon) -> shapely.Polygon:
    return max(polygon.geoms, key=lambda p: float(p.area)) if polygon.geom_type == "MultiPolygon" else polygon


def _ring(polygon: shapely.Polygon, simplify_m: float) -> F64:
    """Return the outline: its rectangle where that says it all, else its hull, else simplified.

    Each side of the rectangle lies where most of the rim along it does: neither frayed paint nor a hidden corner
    moves it.
    """
    even = _largest(polygon.buffer(-FRAYED_M).buffer(FRAYED_M))
    even = polygon if even.is_empty else even
    rectangle = even.minimum_rotated_rectangle
    if even.area > RECTANGLE_SHARE * rectangle.area:
        corners = shapely.get_coordinates(rectangle)
        axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
        sides = np.hypot(*axes.T)
        axes = axes / sides[:, None]
        rim = (polyline.resample(shapely.get_coordinates(polygon.exterior), RIM_STEP_M) - corners[0]) @ axes.T
        low, high = np.zeros(2), sides.copy()
        for k in (0, 1):
            beside = np.abs(rim[:, 1 - k] / sides[1 - k] - 0.5) < 0.4
            for side, limits, share in (
                (rim[:, k] < 0.5 * sides[k], low, 1 - RIM_SHARE),
                (rim[:, k] > 0.5 * sides[k], high, RIM_SHARE),
            ):
                if (beside & side).any():
                    limits[k] = np.quantile(rim[beside & side, k], share)
        ring: F64 = corners[0] + np.array([[low[0], low[1]], [high[0], low[1]], high, [low[0], high[1]]]) @ axes
    else:
        hull = even.convex_hull
        outline = hull if even.area > CONVEX_SHARE * hull.area else even
        ring = np.asarray(outline.simplify(simplify_m).exterior.coords)[:-1]
    return ring if shapely.LinearRing(ring).is_ccw else ring[::-1]
