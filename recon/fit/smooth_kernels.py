"""Numba kernel of the smoothness term: value and gradient in one walk over the neighbours."""

from __future__ import annotations

import math

from numba import njit


@njit(cache=True)
def value_and_gradient(index, row, column, z, tilt, cell_m, scale_m, grad_z, grad_tilt):
    """Return the sum of robust residuals and their number; add the gradients of that sum.

    For each pair of neighbours (i, j) along an axis: z_j - z_i - cell (tilt_i + tilt_j) / 2 on that axis, and the
    difference of both tilts times the cell; each through the pseudo-Huber loss of `scale_m`.
    """
    rows, columns = index.shape
    total = 0.0
    count = 0
    for i in range(z.shape[0]):
        for axis in range(2):
            r, c = row[i] + axis, column[i] + 1 - axis
            if r >= rows or c >= columns or index[r, c] < 0:
                continue
            j = index[r, c]
            step = z[j] - z[i] - 0.5 * cell_m * (tilt[i, axis] + tilt[j, axis])
            norm = math.sqrt(step * step + scale_m * scale_m)
            slope = step / norm
            total += norm - scale_m
            grad_z[j] += slope
            grad_z[i] -= slope
            grad_tilt[i, axis] -= 0.5 * cell_m * slope
            grad_tilt[j, axis] -= 0.5 * cell_m * slope
            for k in range(2):
                bend = cell_m * (tilt[j, k] - tilt[i, k])
                norm = math.sqrt(bend * bend + scale_m * scale_m)
                total += norm - scale_m
                grad_tilt[j, k] += cell_m * bend / norm
                grad_tilt[i, k] -= cell_m * bend / norm
            count += 2  # a step and a bend
    return total, count
