"""Numba kernel of `recon.bev.bake`: surfels evaluated vertically from above at cell centres."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from recon.render.surfels import Q_MAX


@njit(cache=True, parallel=True)
def evaluate_from_above(
    index, z, tilt, inv_scale, opacity, features, cell, x, y, reach, out, out_z, out_weight, out_own
):
    """Fill the mean features (M, C) and heights (M,) at points x, y (M,) metres from the index raster's south-west.

    Seen from above, all surfels at a point are equally near. They are mixed in proportion to their opacity there, the
    mean of compositing over all orders. `out_own` is the surfel whose cell holds the point, or -1.
    """
    rows, columns = index.shape
    channels = features.shape[1]
    for p in prange(x.shape[0]):
        row, column = math.floor(y[p] / cell), math.floor(x[p] / cell)
        total = 0.0
        height = 0.0
        out_own[p] = -1
        if row >= 0 and column >= 0 and row < rows and column < columns:
            out_own[p] = index[row, column]
        for r in range(max(row - reach, 0), min(row + reach + 1, rows)):
            for c in range(max(column - reach, 0), min(column + reach + 1, columns)):
                i = index[r, c]
                if i < 0:
                    continue
                dx = x[p] - (c + 0.5) * cell
                dy = y[p] - (r + 0.5) * cell
                q = (dx * inv_scale[i, 0]) ** 2 + (dy * inv_scale[i, 1]) ** 2
                if q > Q_MAX:
                    continue
                w = opacity[i] * math.exp(-0.5 * q)
                total += w
                height += w * (z[i] + tilt[i, 0] * dx + tilt[i, 1] * dy)
                for k in range(channels):
                    out[p, k] += w * features[i, k]
        out_weight[p] = total
        if total > 0.0:
            out_z[p] = height / total
            for k in range(channels):
                out[p, k] = np.float32(out[p, k] / total)
