"""Strips of road between two neighbouring lines: possible lanes, without a direction of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from recon.arrays import F64
from vectorize.neighbours import LineIndex, Met
from vectorize.polyline import left_normals, length_of, resample, runs, tangents
from vectorize.road_map import Element

STEP_M = 1.0
NARROWEST_M, WIDEST_M = 2.0, 6.0  # of a lane; two lines of one marking, or a kerb and its edge line, lie closer
SHORTEST_M = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """A stretch on which two lines are side by side; both have the same direction, which defines left and right."""

    left: int  # index of the line on the left
    right: int
    left_m: F64  # (N, 3) world metres
    right_m: F64  # (N, 3) the point across from each of `left_m`


def find_strips(lines: Sequence[Element]) -> list[Strip]:
    """Return every stretch of at least SHORTEST_M on which a line's next neighbour is a near-parallel other line.

    A pair is measured from its first line, whose vertices are evenly spaced there. Strips that share a line have the
    direction of the first of them. Lines need heights (N, 3).
    """
    rings = [np.concatenate([e.vertices, e.vertices[:1]]) if e.closed else e.vertices for e in lines]
    shapes = [shapely.LineString(vertices) for vertices in rings]
    index = LineIndex.of(shapes)
    strips: list[Strip] = []
    for i, shape in enumerate(shapes):
        if shape.length < SHORTEST_M:
            continue
        points = resample(shapely.get_coordinates(shape, include_z=True), STEP_M)
        directions = tangents(points)
        for side in (1.0, -1.0):
            across = points[:, :2] + side * WIDEST_M * left_normals(directions)
            ways = zip(points[:, :2], across, directions, strict=True)
            found = [_neighbour(index, i, start, end, direction) for start, end, direction in ways]
            partner = np.array([met.line if met else -1 for met in found])
            for j in np.unique(partner[partner > i]).tolist():
                for start, stop in runs(partner == j):
                    other = np.array([met.at for met in found[start:stop] if met])
                    if _is_strip(points[start:stop], other):
                        own = points[start:stop]
                        left, right = ((j, other), (i, own)) if side > 0 else ((i, own), (j, other))
                        strips.append(Strip(left=left[0], right=right[0], left_m=left[1], right_m=right[1]))
    return _aligned(strips)


def neighbours(strips: Sequence[Strip]) -> list[tuple[int, int]]:
    """Return pairs of strips that touch along one line."""
    pairs = []
    for i, one in enumerate(strips):
        own = {one.left: one.left_m, one.right: one.right_m}
        for j in range(i + 1, len(strips)):
            other = {strips[j].left: strips[j].left_m, strips[j].right: strips[j].right_m}
            for line in own.keys() & other.keys():
                beside = shapely.LineString(own[line][:, :2]).buffer(0.5)
                if shapely.intersection(beside, shapely.LineString(other[line][:, :2])).length > 2.0:
                    pairs.append((i, j))
    return pairs


def _aligned(strips: list[Strip]) -> list[Strip]:
    """Return the strips, reversed where a touching earlier strip has the opposite direction."""
    beside: dict[int, list[int]] = {}
    for i, j in neighbours(strips):
        beside.setdefault(i, []).append(j)
        beside.setdefault(j, []).append(i)
    result, done = list(strips), set[int]()
    for first in range(len(strips)):
        waiting = [first]
        while waiting:
            i = waiting.pop()
            done.add(i)
            for j in sorted(set(beside.get(i, [])) - done - set(waiting)):
                if _direction(result[i]) @ _direction(result[j]) < 0:
                    one = result[j]
                    turned = {"left_m": one.right_m[::-1], "right_m": one.left_m[::-1]}
                    result[j] = Strip(left=one.right, right=one.left, **turned)
                waiting.append(j)
    return result


def _direction(strip: Strip) -> F64:
    return np.asarray(strip.left_m[-1, :2] - strip.left_m[0, :2])


def _is_strip(own: F64, other: F64) -> bool:
    if min(length_of(own), length_of(other)) < SHORTEST_M:
        return False
    return bool(np.median(np.hypot(*(own - other)[:, :2].T)) >= NARROWEST_M)


def _neighbour(index: LineIndex, own: int, start: F64, end: F64, direction: F64) -> Met | None:
    """Return the nearest other line between two points (2,), or None if it has no height or is not parallel."""
    met = index.across(own, start, end)
    nearest = met[0] if met and np.isfinite(met[0].at).all() else None
    return nearest if nearest and index.is_parallel(nearest, direction) else None
