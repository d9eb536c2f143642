"""Lines as true maps draw them: one line drawn twice, lines that continue each other, and the edges of areas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import shapely
from scipy.spatial import cKDTree

from recon.arrays import F64

SAME_LINE_M = 0.15  # two drawings of one painted line are nearer than this, two painted lines are not
SAME_SHARE = 0.9
ALONG_M = 2.0  # shared by two lines that run along each other; lines that cross share less
DIRECTION_M = 3.0  # over which the direction of a line at its end is taken
STRAIGHT = 0.87  # cosine of the sharpest turn of a line that runs on, 30 degrees


def without_duplicates(lines: Sequence[F64]) -> list[tuple[int, F64]]:
    """Return (index, line) of the lines (N, 2 or 3), without what runs along a longer one.

    Neighbouring lanes both state their border. Where only a part of a line was drawn before, the rest of it is kept.
    """
    kept: list[tuple[int, F64]] = []
    shapes: list[shapely.LineString] = []
    order = sorted(range(len(lines)), key=lambda i: -_length(lines[i]))
    for index in order:
        shape = shapely.LineString(lines[index])
        near = [other for other in shapes if other.distance(shape) < SAME_LINE_M]
        for part in _not_along(shape, near) if near and shape.length > 0 else [shape]:
            has_z = lines[index].shape[1] == 3
            kept.append((index, shapely.get_coordinates(part, include_z=has_z)))
            shapes.append(shapely.force_2d(part))
    return kept


def _length(line: F64) -> float:
    return float(np.linalg.norm(np.diff(line[:, :2], axis=0), axis=1).sum())


def _not_along(shape: shapely.LineString, near: list[shapely.LineString]) -> list[shapely.LineString]:
    """Return the parts of a line that do not run along others; the line itself if it only meets or crosses them."""
    zone = shapely.buffer(shapely.union_all(near), SAME_LINE_M)
    shared = [part for part in shapely.get_parts(shapely.intersection(shape, zone)) if part.length >= ALONG_M]
    covered = sum(part.length for part in shared)
    if covered >= SAME_SHARE * shape.length or shapely.covers(zone, shape):
        return []
    if not shared:
        return [_meeting(shape, near)]
    rest = shapely.difference(shape, shapely.buffer(shapely.union_all(shared), 1e-3, cap_style="flat"))
    return [_meeting(part, near) for part in shapely.get_parts(rest) if part.length >= ALONG_M]


def _meeting(part: shapely.LineString, near: list[shapely.LineString]) -> shapely.LineString:
    """Return a line with its ends moved to the ends of the lines that go on from there."""
    ends = np.concatenate([shapely.get_coordinates(line)[[0, -1]] for line in near])
    points = shapely.get_coordinates(part, include_z=bool(part.has_z))
    for at in (0, -1):
        away = np.linalg.norm(ends - points[at, :2], axis=1)
        if away.min() < SAME_LINE_M + 0.01:
            points[at, :2] = ends[int(away.argmin())]
    meeting = shapely.LineString(points)
    return meeting if meeting.length > 0 else part


def joined_lines(lines: Sequence[F64]) -> list[F64]:
    """Return lines joined where ends meet; where three or more meet, the pair that runs straightest is joined.

    A survey cuts its lines wherever lanes begin, fork or merge; the paint runs on.
    """
    if not lines:
        return []
    merged = shapely.line_merge(shapely.MultiLineString([shapely.LineString(line) for line in lines]))
    has_z = lines[0].shape[1] == 3
    pieces = [shapely.get_coordinates(part, include_z=has_z) for part in shapely.get_parts(merged)]
    partner = _partners(pieces)
    joined: list[F64] = []
    used: set[int] = set()
    # Chains are walked from their ends; what is left are rings.
    for start in (*(end for end in product(range(len(pieces)), (0, 1)) if end not in partner), *partner):
        chain: list[F64] = []
        end: tuple[int, int] | None = start
        while end is not None and end[0] not in used:
            used.add(end[0])
            piece = pieces[end[0]] if end[1] == 0 else pieces[end[0]][::-1]
            chain.append(piece[1:] if chain else piece)
            end = partner.get((end[0], 1 - end[1]))
        if chain:
            joined.append(np.concatenate(chain))
    return joined


def _partners(pieces: list[F64]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the end (piece, 0 first or 1 last) in which each end continues, where three or more meet."""
    meeting: dict[tuple[float, float], list[tuple[int, int]]] = {}
    for end in product(range(len(pieces)), (0, 1)):
        x, y = pieces[end[0]][-end[1], :2].tolist()
        meeting.setdefault((x, y), []).append(end)
    partner: dict[tuple[int, int], tuple[int, int]] = {}
    for ends in meeting.values():
        away = [_direction(pieces[piece], last) for piece, last in ends]
        turns = [(float(np.dot(away[a], away[b])), a, b) for a, b in combinations(range(len(ends)), 2)]
        for cosine, a, b in sorted(turns):
            if cosine < -STRAIGHT and ends[a][0] != ends[b][0] and not {ends[a], ends[b]} & partner.keys():
                partner |= {ends[a]: ends[b], ends[b]: ends[a]}
    return partner


def _direction(line: F64, last: int) -> F64:
    """Return the unit direction (2,) into a line from its first or last vertex, over DIRECTION_M."""
    shape = shapely.LineString(line[::-1, :2] if last else line[:, :2])
    there = shapely.get_coordinates(shapely.line_interpolate_point(shape, min(DIRECTION_M, shape.length)))[0]
    step: F64 = there - line[-last, :2]
    return step / max(float(np.linalg.norm(step)), 1e-9)


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
