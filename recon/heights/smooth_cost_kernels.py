"""Numba kernels that choose one height a place so that neighbours agree: semi-global matching on the ground."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def _pass(cost, sum_, dr, dc, small, large):
    """Add the cost of the best path that arrives at each place from direction (dr, dc)."""
    rows, columns, levels = cost.shape
    arrived = np.zeros((rows, columns, levels), np.float32)
    row_start, row_stop, row_step = (0, rows, 1) if dr >= 0 else (rows - 1, -1, -1)
    column_start, column_stop, column_step = (0, columns, 1) if dc >= 0 else (columns - 1, -1, -1)
    for r in range(row_start, row_stop, row_step):
        for c in range(column_start, column_stop, column_step):
            pr, pc = r - dr, c - dc
            inside = 0 <= pr < rows and 0 <= pc < columns
            if inside:
                least = arrived[pr, pc].min()
            for j in range(levels):
                best = np.float32(0.0)
                if inside:
                    best = min(arrived[pr, pc, j], least + large)
                    if j > 0:
                        best = min(best, arrived[pr, pc, j - 1] + small)
                    if j + 1 < levels:
                        best = min(best, arrived[pr, pc, j + 1] + small)
                    best -= least
                arrived[r, c, j] = cost[r, c, j] + best
                sum_[r, c, j] += arrived[r, c, j]


@njit(cache=True)
def smooth_costs(cost, small, large):
    """Return (R, C, K) costs (R, C, K) with those of the best paths from eight directions (Hirschmueller 2008)."""
    sum_ = np.zeros(cost.shape, np.float32)
    for dr in range(-1, 2):
        for dc in range(-1, 2):
            if dr != 0 or dc != 0:
                _pass(cost, sum_, dr, dc, small, large)
    return sum_
