"""Numba kernels that cut chains of points where they leave the known cells of a mask.

A place on a chain of P points is a number u in 0..P: the whole part is a segment, the rest a fraction of it. Segment
P - 1 leads back to the first point. A ring has all segments, an open line all but that one. Coordinates are in cells.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_EPS = 1e-9  # cells: a run or a gap shorter than this comes from rounding at a corner of cells


@njit(cache=True, nogil=True)
def arc_lengths(xy):
    """Return (P + 1) lengths from the first point of a chain (P, 2) to each point, and round to the first again."""
    count = len(xy)
    along = np.zeros(count + 1)
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        along[i + 1] = along[i] + np.hypot(xy[j, 0] - xy[i, 0], xy[j, 1] - xy[i, 1])
    return along


@njit(cache=True, nogil=True)
def _cell_of(value, step, limit):
    """Return the cell in which a movement from `value` by `step` begins."""
    cell = int(np.floor(value))
    if step < 0.0 and cell == value:
        cell -= 1
    return min(max(cell, 0), limit - 1)


@njit(cache=True, nogil=True)
def most_runs(points, depth):
    """Return how many runs a ring of so many points can have: a segment visits each row and column once."""
    return points * (depth.shape[0] + depth.shape[1] + 2) // 2 + 1


@njit(cache=True, nogil=True)
def known_runs(xy, closed, depth, least_depth, leap, starts, stops):
    """Write the runs of a chain (P, 2) through cells with depth >= least_depth; return their number and least depth.

    `depth` (h, w) holds for a known cell its distance to the nearest unknown one, for an unknown cell minus the
    distance to the nearest known one (chessboard, at least 1). With `leap` and least_depth 1, cells that must be alike
    are passed in one step: the square around a cell within its distance. Without, every cell is visited, so that the
    least depth is exact. `starts` and `stops` need room for `most_runs`.
    """
    rows, columns = depth.shape
    count, runs, inside, least = len(xy), 0, False, 32767
    segments = count if closed else count - 1
    for i in range(segments):
        j = i + 1 if i + 1 < count else 0
        ax, ay = xy[i, 0], xy[i, 1]
        dx, dy = xy[j, 0] - ax, xy[j, 1] - ay
        c, r, t = _cell_of(ax, dx, columns), _cell_of(ay, dy, rows), 0.0
        while True:
            d = depth[r, c]
            least = min(least, d)
            if (d >= least_depth) != inside:
                if not inside:
                    starts[runs] = i + t
                else:
                    stops[runs] = i + t
                    runs += 1
                inside = not inside
            reach = abs(d) if leap else 1
            left, right, top, bottom = c - reach + 1, c + reach, r - reach + 1, r + reach
            tx = (right - ax) / dx if dx > 0.0 else (left - ax) / dx if dx < 0.0 else np.inf
            ty = (bottom - ay) / dy if dy > 0.0 else (top - ay) / dy if dy < 0.0 else np.inf
            t_next = min(tx, ty)
            if t_next >= 1.0:
                break
            t = max(t, t_next)
            # A step through a side keeps to the rows or columns of the square that it leaves, whatever rounding says.
            c = min(max(int(np.floor(ax + t * dx)), left), right - 1)
            r = min(max(int(np.floor(ay + t * dy)), top), bottom - 1)
            if tx <= ty:
                c = right if dx > 0.0 else left - 1
            if ty <= tx:
                r = bottom if dy > 0.0 else top - 1
            if c < 0 or c >= columns or r < 0 or r >= rows:
                break
    if inside:
        stops[runs] = segments
        runs += 1
    return runs, least


@njit(cache=True, nogil=True)
def length_at(along, u):
    """Return the length from the first point to the place u, which may lie beyond the end of a ring."""
    count = len(along) - 1
    turns = u // count
    u -= turns * count
    i = int(u)
    return turns * along[count] + along[i] + (u - i) * (along[i + 1] - along[i])


@njit(cache=True, nogil=True)
def pieces(starts, stops, runs, along, closed, least_cells, first, last):
    """Write start and stop of the pieces of a chain; return their number, the known length, and whether it is whole.

    `along` is of `arc_lengths`. A ring's piece through its first point stops beyond P. Pieces shorter than least_cells
    do not count. The number may exceed the room in `first` and `last`: then only the number is meant.
    """
    count = len(along) - 1
    end = float(count) if closed else count - 1.0
    total, known, kept, k = length_at(along, end), 0.0, 0, 0
    joined = closed and runs > 1 and starts[0] == 0.0 and stops[runs - 1] == count
    if joined:
        k = 1  # the last run goes on as the first
    while k < runs and starts[k] <= end:
        start = starts[k]
        while k + 1 < runs and length_at(along, starts[k + 1]) - length_at(along, stops[k]) <= _EPS:
            k += 1  # a gap without length is none
        stop = min(stops[k], end)
        if joined and k == runs - 1:
            stop = count + stops[0]
        length = length_at(along, stop) - length_at(along, start)
        known += length
        if length >= least_cells:
            if kept < len(first):
                first[kept], last[kept] = start, stop
            kept += 1
        k += 1
    return kept, known, runs > 0 and total - known <= _EPS * (1.0 + total)


@njit(cache=True, nogil=True)
def resample(along, start, stop, index, fraction):
    """Write where P points lie at equal distances from the place start to stop: index and fraction of a segment."""
    count, points = len(along) - 1, len(index)
    total = along[count]
    s0, s1 = length_at(along, start), length_at(along, stop)
    i, turn = int(start), 0.0
    for k in range(points):
        s = s0 + (s1 - s0) * k / (points - 1)
        while s - turn > along[i + 1] and (i + 1 < count or s - turn > total + _EPS):
            i += 1
            if i == count:
                i, turn = 0, turn + total
        length = along[i + 1] - along[i]
        index[k] = i
        fraction[k] = min(max((s - turn - along[i]) / length, 0.0), 1.0) if length > 0.0 else 0.0
