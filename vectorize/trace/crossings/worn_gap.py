"""Zebras in two parts: stripes between them are worn away or hidden, and the rest lies on the same two lines."""

from __future__ import annotations

import numpy as np
import shapely

from recon.arrays import F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.bars import find_bars
from vectorize.trace_config import CrosswalkConfig

LEAST_STRIPES = 2  # of each part that show the direction of its stripes
LEAN = 0.7  # sine of the angle between the stripes and the way from part to part: else they are two crossings
SAME_DEG = 12.0  # between the stripes of both parts
SAME_SHARE = 0.85  # of the breadth across that way which both parts have in common
FILLED = 0.85  # of their hull that both parts and the gap fill
LONGER = 2.0  # times both parts together that the gap may measure at most
WAY_STEP_M = 0.3  # between the places on the way where an island is searched
WAYS = (0.2, 0.5, 0.8)  # across, as shares of the breadth


def is_one_zebra(evidence: Evidence, one: shapely.Polygon, other: shapely.Polygon, config: CrosswalkConfig) -> bool:
    """Return whether two polygons of stripes are one zebra with a gap that is wear."""
    gap_m = float(one.distance(other))
    if not config.block_gap_m < gap_m <= config.worn_gap_m:
        return False
    way = np.subtract(other.centroid.coords[0], one.centroid.coords[0])
    way /= np.hypot(*way)
    across = np.array([-way[1], way[0]])
    spans = [shapely.get_coordinates(p) @ across for p in (one, other)]
    common = min(s.max() for s in spans) - max(s.min() for s in spans)
    if common < SAME_SHARE * max(float(np.ptp(s)) for s in spans):
        return False
    along = [float(np.ptp(shapely.get_coordinates(p) @ way)) for p in (one, other)]
    hull = shapely.union(one, other).convex_hull
    if gap_m > LONGER * sum(along) or one.area + other.area + gap_m * common < FILLED * hull.area:
        return False
    first, second = (_stripes(evidence, p) for p in (one, other))
    if first is None or second is None or abs(float(first @ second)) < np.cos(np.radians(SAME_DEG)):
        return False
    if min(abs(float(way[0] * s[1] - way[1] * s[0])) for s in (first, second)) < LEAN:
        return False
    return not _island(evidence, spans, one, other, way, across)


def _stripes(evidence: Evidence, part: shapely.Polygon) -> F64 | None:
    """Return the unit direction of the stripes of a part, None where it has none."""
    low, high = np.array(part.bounds).reshape(2, 2)
    corners = np.floor(evidence.grid.to_px(np.array([[low[0], high[1]], [high[0], low[1]]]))).astype(int)
    (left, top), (right, bottom) = np.clip(corners, 0, [evidence.grid.width, evidence.grid.height]).tolist()
    window = (slice(top, bottom + 1), slice(left, right + 1))
    bars = find_bars(evidence.crosswalk[window], evidence.grid, window)
    inside = shapely.contains_xy(part, bars.centres)
    if inside.sum() < LEAST_STRIPES:
        return None
    half = np.angle((bars.halves_m[inside] * polyline.doubled(bars.directions[inside])).sum()) / 2
    return np.array([np.cos(half), np.sin(half)])


def _island(
    evidence: Evidence, spans: list[F64], one: shapely.Polygon, other: shapely.Polygon, way: F64, across: F64
) -> bool:
    """Return whether ground that is no road was seen between two parts: it separates two crossings."""
    start, stop = (float(p.centroid.coords[0] @ way) for p in (one, other))
    low, high = max(s.min() for s in spans), min(s.max() for s in spans)
    places = np.concatenate(
        [np.arange(start, stop, WAY_STEP_M)[:, None] * way + (low + share * (high - low)) * across for share in WAYS]
    )
    return bool((evidence.is_known(places) & (evidence.sample(evidence.drivable, places) < 0.5)).any())
