"""Polylines as arrays of vertices (N, D): lengths, resampling, smoothing, simplifying, clipping."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from recon.arrays import C128, F64, I64, Bool

FLAT_M = 1e-12  # a step this short across a box's side changes no side


def arc_length(vertices: F64) -> F64:
    """Return (N,) distance along the line from its first vertex, measured in the plane (x, y)."""
    steps = np.hypot(*np.diff(vertices[:, :2], axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def length_of(vertices: F64, *, closed: bool = False) -> float:
    """Return the length in the plane; a closed ring counts the edge back to its first vertex."""
    ring = np.concatenate([vertices, vertices[:1]]) if closed else vertices
    return float(arc_length(ring)[-1])


def resample(vertices: F64, step_m: float) -> F64:
    """Return vertices at equal distances of about `step_m`, first and last kept."""
    along = arc_length(vertices)
    count = max(2, round(along[-1] / step_m) + 1)
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, column) for column in vertices.T], axis=1)


def smooth(vertices: F64, sigma: float, *, closed: bool = False) -> F64:
    """Return evenly spaced vertices filtered by a Gaussian of `sigma` vertices; the ends of an open line stay."""
    if len(vertices) < 3:
        return vertices
    if closed:
        ring: F64 = gaussian_filter1d(vertices, sigma, axis=0, mode="wrap")
        return ring
    # Point reflection at the ends keeps both their place and their direction.
    reach = min(len(vertices) - 1, int(4 * sigma) + 1)
    head = 2 * vertices[0] - vertices[reach:0:-1]
    tail = 2 * vertices[-1] - vertices[-2 : -2 - reach : -1]
    filtered = gaussian_filter1d(np.concatenate([head, vertices, tail]), sigma, axis=0)
    result: F64 = filtered[reach : reach + len(vertices)]
    return result


def tangents(vertices: F64, *, closed: bool = False) -> F64:
    """Return (N, 2) unit directions in the plane by central differences."""
    plane = vertices[:, :2]
    ring = np.roll(plane, -1, axis=0) - np.roll(plane, 1, axis=0)
    difference = ring if closed else np.gradient(plane, axis=0)
    norm = np.maximum(np.hypot(difference[:, 0], difference[:, 1]), 1e-12)
    result: F64 = difference / norm[:, None]
    return result


def left_normals(directions: F64) -> F64:
    """Return unit normals to the left of unit directions (N, 2)."""
    return np.stack([-directions[:, 1], directions[:, 0]], axis=1)


def across(vertices: F64, offsets: F64, *, closed: bool = False) -> F64:
    """Return the places (N, M, 2) of the profiles across a line: at `offsets` (M,) to the left of each vertex."""
    normals = left_normals(tangents(vertices, closed=closed))
    return vertices[:, None] + offsets[:, None] * normals[:, None]


def cubic(start: F64, end: F64, leave: F64, arrive: F64, count: int) -> F64:
    """Return the cubic Hermite curve (count, 2) between two places that has the given velocities (2,) there."""
    t = np.linspace(0.0, 1.0, count)[:, None]
    basis = (2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, -2 * t**3 + 3 * t**2, t**3 - t**2)
    result: F64 = basis[0] * start + basis[1] * leave + basis[2] * end + basis[3] * arrive
    return result


def doubled(directions: F64) -> C128:
    """Return directions (N, 2) as complex numbers (N,) of twice their angle: both ways along a line are one."""
    result: C128 = (directions @ np.array([1.0, 1.0j])) ** 2
    return result


def simplify(vertices: F64, tolerance_m: float, *, keep: Bool | None = None, closed: bool = False) -> I64:
    """Return indices of the vertices that Douglas-Peucker keeps; those marked in `keep` (N,) always stay."""
    count = len(vertices)
    anchors = {0, count - 1}
    if closed:  # a ring has no ends: start from two vertices far apart
        anchors = {0, int(np.argmax(np.hypot(*(vertices[:, :2] - vertices[0, :2]).T)))}
    if keep is not None:
        anchors |= set(np.flatnonzero(keep).tolist())
    fixed = sorted(anchors)
    plane = np.concatenate([vertices[:, :2], vertices[:1, :2]]) if closed else vertices[:, :2]
    kept = set(fixed)
    spans = list(zip(fixed, [*fixed[1:], count] if closed else fixed[1:], strict=False))
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        chord = plane[last] - plane[first]
        offset = plane[first + 1 : last] - plane[first]
        square = float(chord @ chord)
        share = np.clip(offset @ chord / square, 0.0, 1.0) if square > 0 else np.zeros(len(offset))
        away = np.hypot(*(offset - share[:, None] * chord).T)
        worst = int(np.argmax(away))
        if away[worst] > tolerance_m:
            middle = first + 1 + worst
            kept.add(middle)
            spans += [(first, middle), (middle, last)]
    return np.array(sorted(kept), dtype=np.int64)


def stretches(kept: I64, count: int) -> I64:
    """Return (M + 1,) borders of what each of the `kept` (M,) of `count` vertices stands for: half-way to the next."""
    return np.concatenate([[0], (kept[1:] + kept[:-1] + 1) // 2, [count]])


def runs(mask: Bool) -> list[tuple[int, int]]:
    """Return (start, stop) of every maximal run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def close_gaps(mask: Bool, longest: int) -> Bool:
    """Return the mask with inner runs of at most `longest` false values filled."""
    filled = mask.copy()
    for start, stop in runs(~mask):
        if start > 0 and stop < len(mask) and stop - start <= longest:
            filled[start:stop] = True
    return filled


def clip_to_box(vertices: F64, low: F64, high: F64) -> list[tuple[F64, F64]]:
    """Return the pieces of an open line inside an axis-aligned box of the plane (Liang-Barsky per segment).

    Each piece is (vertices (M, D), where (M,)): `where` is the position along the original line in vertices
    (2.25 = a quarter of the way from vertex 2 to 3), from which attributes can be interpolated.
    """
    start, step = vertices[:-1], np.diff(vertices, axis=0)
    enter, leave = np.zeros(len(step)), np.ones(len(step))
    outside = np.zeros(len(step), dtype=bool)
    for axis in (0, 1):
        delta, origin = step[:, axis], start[:, axis]
        flat = np.abs(delta) < FLAT_M  # a quotient by the smallest numbers overflows
        outside |= flat & ((origin < low[axis]) | (origin > high[axis]))
        safe = np.where(flat, 1.0, delta)
        to_low, to_high = (low[axis] - origin) / safe, (high[axis] - origin) / safe
        enter = np.where(flat, enter, np.maximum(enter, np.minimum(to_low, to_high)))
        leave = np.where(flat, leave, np.minimum(leave, np.maximum(to_low, to_high)))
    inside = ~outside & (enter < leave)
    pieces: list[tuple[F64, F64]] = []
    where: list[float] = []
    for i in np.flatnonzero(inside).tolist():
        begin, end = i + float(enter[i]), i + float(leave[i])
        if where and begin > where[-1]:
            pieces.append(_at(vertices, where))
            where = []
        where = where or [begin]
        where.append(end)
    if where:
        pieces.append(_at(vertices, where))
    return [piece for piece in pieces if length_of(piece[0]) > 0]


def _at(vertices: F64, where: list[float]) -> tuple[F64, F64]:
    positions = np.array(where)
    index = np.arange(len(vertices))
    return np.stack([np.interp(positions, index, column) for column in vertices.T], axis=1), positions
