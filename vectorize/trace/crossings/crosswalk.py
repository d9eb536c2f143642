"""Pedestrian crossings as polygons, from areas of their class probability."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from skimage.measure import find_contours

from recon.arrays import F32, F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.crossing_pair import find_line_pairs
from vectorize.trace.crossings.paint_areas import LEAST, LINE_WIDTH_M, PAD, Area, areas_of, disc
from vectorize.trace.crossings.stripe_rows import zebras_apart
from vectorize.trace.crossings.worn_gap import is_one_zebra
from vectorize.trace_config import CrosswalkConfig, TraceConfig

SIMPLIFY = 2.0  # times `simplify_m`: outlines of paint are rougher than lines
PAIR_MARGIN_M = 0.5  # around a pair of lines: pieces of them that are labelled as crosswalk lie there
GAP_SHARE = 0.9  # of the shorter of two lines that the gap between them may reach: a crossing is wider than long
PLATEAU_M = 1.2  # diameter around the outline in which the full strength of its paint is searched
FRAYED_M = 0.3  # half of the width of spikes and necks that the class map frays into an outline
OUTLINE_STEP_M = 0.05  # half a cell
OUTLINE_SHARE = 0.7  # of a side's outline within the rectangle: frays stand out, a hidden corner lies far inside
MIDDLE_SHARE = 0.4  # each way from the middle of a side: its ends belong to the corners
ISLAND_SAMPLES = 9  # places on the way between two parts where an island is searched
NO_STEP_M = 1e-9  # two parts that touch have no direction between them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrosswalkPart:
    """A connected piece of crosswalk paint."""

    polygon: shapely.Polygon  # world metres
    value: float  # mean evidence
    painted_m2: float  # that the evidence is the mean of
    thin: bool  # one line or stripe


def find_crossings(evidence: Evidence, config: TraceConfig) -> list[tuple[F64, float]]:
    """Return (ring (N, 2) in world metres without repeated end, mean evidence) of each crossing.

    Stripes close to each other are one area from the start; stripes farther apart, the two lines of a crossing
    without stripes and zebras with a worn gap are joined to one polygon. Zebras that meet are told apart by their
    stripes. A single line or stripe is dropped. Two lines
    across the whole road are a crossing also where only parts of them are labelled as crosswalk.
    """
    pairs = find_line_pairs(evidence, config.crossing_pair)
    of_pairs = shapely.union_all([polygon for polygon, _ in pairs]).buffer(PAIR_MARGIN_M)
    # Where the lines of two crossings meet their paint is one area: what belongs to a pair is taken out of it.
    zebras, rest = zebras_apart(_without(evidence, of_pairs), config.crosswalk)
    areas = areas_of(evidence, rest, config.crosswalk.stripe_gap_m)
    parts = [part for area in areas if (part := _part(evidence, area))]
    parts = [part for part in parts if not of_pairs.contains(part.polygon.centroid)]
    joined = [(p.polygon, p.value) for p in _joined(evidence, parts, config) if not p.thin]
    found = [(polygon, value) for polygon, value in joined + pairs if polygon.area >= config.min_crossing_m2]
    result = [(_ring(polygon, SIMPLIFY * config.simplify_m, config.crosswalk), value) for polygon, value in found]
    apart = [z for z in zebras if z[0].area >= config.min_crossing_m2 and not of_pairs.contains(z[0].centroid)]
    result += [(_corners(polygon.simplify(SIMPLIFY * config.simplify_m)), value) for polygon, value in apart]
    return sorted(result, key=lambda item: (-shapely.Polygon(item[0]).area, *item[0][0].tolist()))


def _without(evidence: Evidence, place: shapely.Geometry) -> Evidence:
    """Return the evidence without the crosswalk paint in a place."""
    if place.is_empty:
        return evidence
    cells = np.argwhere(evidence.crosswalk > LEAST)
    inside = shapely.contains_xy(place, evidence.grid.to_m(cells[:, ::-1] + 0.5))
    rest = evidence.crosswalk.copy()
    rest[tuple(cells[inside].T)] = 0
    return replace(evidence, crosswalk=rest)


def _part(evidence: Evidence, area: Area) -> CrosswalkPart | None:
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
    return CrosswalkPart(polygon=polygon, value=value, painted_m2=painted_m2, thin=_sides(polygon)[0] <= LINE_WIDTH_M)


def _joined(evidence: Evidence, parts: list[CrosswalkPart], config: TraceConfig) -> list[CrosswalkPart]:
    """Join parts that together fill a rectangle but for the gap between them, narrowest gap first."""
    parts = [p for p in parts if _sides(p.polygon)[1] >= config.crosswalk.min_part_m]
    while True:
        near = shapely.STRtree([p.polygon for p in parts])
        best: tuple[float, int, int] | None = None
        for i, part in enumerate(parts):
            for j in near.query(part.polygon.buffer(config.crossing_pair.max_gap_m)).tolist():
                gap_m = part.polygon.distance(parts[j].polygon)
                better = j > i and (best is None or (gap_m, i, j) < best)
                if better and (
                    _belong(evidence, part, parts[j], gap_m, config)
                    or is_one_zebra(evidence, part.polygon, parts[j].polygon, config.crosswalk)
                ):
                    best = (gap_m, i, j)
        if best is None:
            return parts
        one, other = parts[best[1]], parts[best[2]]
        painted_m2 = one.painted_m2 + other.painted_m2
        value = (one.value * one.painted_m2 + other.value * other.painted_m2) / painted_m2
        hull = shapely.union(one.polygon, other.polygon).convex_hull
        whole = CrosswalkPart(polygon=hull, value=value, painted_m2=painted_m2, thin=_sides(hull)[0] <= LINE_WIDTH_M)
        parts = [p for k, p in enumerate(parts) if k not in best[1:]] + [whole]


def _belong(evidence: Evidence, one: CrosswalkPart, other: CrosswalkPart, gap_m: float, config: TraceConfig) -> bool:
    """Return whether two parts are parts of one crossing."""
    crosswalk, lines = config.crosswalk, one.thin and other.thin
    longest = min(_sides(p.polygon)[1] for p in (one, other))
    if gap_m > (min(config.crossing_pair.max_gap_m, GAP_SHARE * longest) if lines else crosswalk.block_gap_m):
        return False
    hull = shapely.union(one.polygon, other.polygon).convex_hull
    ends = shapely.get_coordinates(shapely.shortest_line(one.polygon, other.polygon))
    step = ends[1] - ends[0]
    across = np.array([-step[1], step[0]]) / max(float(np.hypot(*step)), NO_STEP_M)
    wide = sorted(float(np.ptp(shapely.get_coordinates(p.polygon) @ across)) for p in (one, other))
    unequal = wide[0] < crosswalk.similar_share * wide[1]
    if not lines and (unequal or (one.thin != other.thin and wide[1] > crosswalk.longest_stripe_m)):
        return False  # a stop line beside a zebra rather than one more stripe
    filled = one.polygon.area + other.polygon.area + gap_m * wide[0]
    if filled < crosswalk.filled_share * hull.minimum_rotated_rectangle.area:
        return False
    # An island in the gap separates two crossings.
    middles = np.array([p.polygon.centroid.coords[0] for p in (one, other)])
    share = np.linspace(0.0, 1.0, ISLAND_SAMPLES)[:, None]
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


def _ring(polygon: shapely.Polygon, simplify_m: float, config: CrosswalkConfig) -> F64:
    """Return the outline: its rectangle if it nearly fills that, else its hull likewise, else simplified.

    Each side of the rectangle lies where most of the outline along it does: neither frayed paint nor a hidden corner
    moves it.
    """
    even = _largest(polygon.buffer(-FRAYED_M).buffer(FRAYED_M))
    even = polygon if even.is_empty else even
    rectangle = even.minimum_rotated_rectangle
    if even.area > config.rectangle_share * rectangle.area:
        corners = shapely.get_coordinates(rectangle)
        axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]])
        sides = np.hypot(*axes.T)
        axes = axes / sides[:, None]
        outline = (polyline.resample(shapely.get_coordinates(polygon.exterior), OUTLINE_STEP_M) - corners[0]) @ axes.T
        low, high = np.zeros(2), sides.copy()
        for k in (0, 1):
            beside = np.abs(outline[:, 1 - k] / sides[1 - k] - 0.5) < MIDDLE_SHARE
            for side, limits, share in (
                (outline[:, k] < 0.5 * sides[k], low, 1 - OUTLINE_SHARE),
                (outline[:, k] > 0.5 * sides[k], high, OUTLINE_SHARE),
            ):
                if (beside & side).any():
                    limits[k] = np.quantile(outline[beside & side, k], share)
        ring: F64 = corners[0] + np.array([[low[0], low[1]], [high[0], low[1]], high, [low[0], high[1]]]) @ axes
    else:
        hull = even.convex_hull
        shape = hull if even.area > config.convex_share * hull.area else even
        return _corners(shape.simplify(simplify_m))
    return ring if shapely.LinearRing(ring).is_ccw else ring[::-1]


def _corners(polygon: shapely.Polygon) -> F64:
    """Return (N, 2) corners of a polygon counter-clockwise, the first not repeated."""
    ring: F64 = shapely.get_coordinates(polygon.exterior)[:-1]
    return ring if polygon.exterior.is_ccw else ring[::-1]
