"""Lines as true maps draw them: one line drawn twice, lines that continue each other, and the edges of areas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import shapely
from scipy.spatial import cKDTree

from recon.arrays import F64

SAME_LINE_M = 0.15  # two drawings of one painted line are nearer than this, two painted lines are not
SAME_SHARE = 0.9


def without_duplicates(lines: Iterable[F64]) -> list[F64]:
    """Return the lines (N, 2 or 3) without those along a longer one: neighbouring lanes both state their border."""
    kept: list[F64] = []
    shapes: list[shapely.LineString] = []
    for line in sorted(lines, key=lambda xyz: -float(np.linalg.norm(np.diff(xyz[:, :2], axis=0), axis=1).sum())):
        shape = shapely.LineString(line[:, :2])
        if shapes and shape.length > 0:
            near = [other for other in shapes if other.distance(shape) < SAME_LINE_M]
            at = shapely.line_interpolate_point(shape, np.linspace(0.0, 1.0, 32), normalized=True)
            if near and float((shapely.distance(at, shapely.union_all(near)) < SAME_LINE_M).mean()) >= SAME_SHARE:
                continue
        kept.append(line)
        shapes.append(shape)
    return kept


def joined_lines(lines: Sequence[F64]) -> list[F64]:
    """Return lines joined where exactly two ends meet; where three or more meet, all are kept apart."""
    if not lines:
        return []
    merged = shapely.line_merge(shapely.MultiLineString([shapely.LineString(line) for line in lines]))
    has_z = lines[0].shape[1] == 3
    return [shapely.get_coordinates(part, include_z=has_z) for part in shapely.get_parts(merged)]


def area_edges(areas: Sequence[shapely.Polygon], within: shapely.Geometry | None = None) -> list[tuple[F64, bool]]:
    """Return (vertices (N, 2), closed) of the edges of united areas; they are cut at `within` and left open there.

    An edge between two areas is not an edge of the road. Gaps narrower than 0.1 m between areas are drawing errors.
    """
    union = shapely.union_all([shapely.buffer(area, 0.05, join_style="mitre") for area in areas])
    outline = shapely.buffer(union, -0.05, join_style="mitre").boundary
    if within is not None:
        outline = outline.intersection(within)
    kinds = ("LineString", "LinearRing")  # a corner that only touches `within` is a point
    lines = [part for part in shapely.get_parts(outline) if part.geom_type in kinds and not part.is_empty]
    if not lines:
        return []
    result = []
    for part in shapely.get_parts(shapely.line_merge(shapely.MultiLineString([shapely.LineString(x) for x in lines]))):
        closed = bool(part.is_ring)
        xy = shapely.get_coordinates(shapely.simplify(part, 0.01))
        if len(xy) > (3 if closed else 1):
            result.append((xy[:-1] if closed else xy, closed))
    return result


def with_height(xy: F64, known_xyz: F64) -> F64:
    """Return (N, 3): points (N, 2) with the height of the nearest of the vertices (M, 3)."""
    _, nearest = cKDTree(known_xyz[:, :2]).query(xy)
    result: F64 = np.c_[xy, known_xyz[nearest, 2]]
    return result
