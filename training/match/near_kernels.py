"""Numba kernel that finds the pixels near chains of points: edge by edge, in the box that the edge can reach."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def near_pixels(starts, stops, rows, columns, reach):
    """Return (M, 3) chain, pixel and nearest edge of all pixels within reach of edges (N, P, 2); the first of equals.

    An edge that is not finite reaches no pixel.
    """
    found, count = np.empty((1024, 3), np.int64), 0
    best, edge_of = np.full(rows * columns, np.inf), np.empty(rows * columns, np.int64)
    for n in range(len(starts)):
        first = count
        for e in range(starts.shape[1]):
            ax, ay = np.float64(starts[n, e, 0]), np.float64(starts[n, e, 1])
            dx, dy = stops[n, e, 0] - ax, stops[n, e, 1] - ay
            if not np.isfinite(ax + ay + dx + dy):
                continue
            length = max(dx * dx + dy * dy, 1e-12)
            left = np.int64(max(np.ceil(min(ax, ax + dx) - reach - 0.5), 0.0))
            right = np.int64(min(np.floor(max(ax, ax + dx) + reach - 0.5), columns - 1.0))
            top = np.int64(max(np.ceil(min(ay, ay + dy) - reach - 0.5), 0.0))
            bottom = np.int64(min(np.floor(max(ay, ay + dy) + reach - 0.5), rows - 1.0))
            for r in range(top, bottom + 1):
                for c in range(left, right + 1):
                    x, y = c + 0.5 - ax, r + 0.5 - ay
                    share = min(max((x * dx + y * dy) / length, 0.0), 1.0)
                    x, y = x - share * dx, y - share * dy
                    squared, pixel = x * x + y * y, r * columns + c
                    if squared > reach * reach or squared >= best[pixel]:
                        continue
                    if best[pixel] == np.inf:
                        if count == len(found):
                            found = np.concatenate((found, np.empty_like(found)))
                        found[count, 0], found[count, 1] = n, pixel
                        count += 1
                    best[pixel], edge_of[pixel] = squared, e
        for k in range(first, count):
            found[k, 2] = edge_of[found[k, 1]]
            best[found[k, 1]] = np.inf
    return found[:count]
