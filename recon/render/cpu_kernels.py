"""Numba kernels of the cpu renderer: forward and hand-written backward over a regular grid of surfels.

A ray's cell is found by fixed-point iteration on the plane of the cell below. The 25 surfels around it are composited
in the camera's front-to-back order. Rays are split into a fixed number of partitions, each with gradient buffers of its
own that are summed in order, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from recon.render.surfels import ALPHA_MAX, Q_MAX, REACH_CELLS, TRANSMITTANCE_MIN

PARTITIONS = 2
NEIGHBOURS = (2 * REACH_CELLS + 1) ** 2
HIT_STEPS = 4
# Columns of the packed surfel geometry and of its gradient
Z, TILT_X, TILT_Y, INV_SX, INV_SY, OPACITY, GEOMETRY = 0, 1, 2, 3, 4, 5, 6


@njit(cache=True, fastmath=True, inline="always")
def _hit_cell(index, geometry, cell, start_z, ox, oy, oz, dx, dy, dz):
    """Return row and column of the cell whose surface the ray hits."""
    rows, columns = index.shape
    height = start_z
    row, column = -1, -1
    for _ in range(HIT_STEPS):
        t = (height - oz) / dz
        x = ox + t * dx
        y = oy + t * dy
        r = min(max(math.floor(y / cell), 0), rows - 1)
        c = min(max(math.floor(x / cell), 0), columns - 1)
        if r == row and c == column:
            break
        row, column = r, c
        i = index[row, column]
        if i >= 0:
            g = geometry[i]
            height = g[Z] + g[TILT_X] * (x - (column + 0.5) * cell) + g[TILT_Y] * (y - (row + 0.5) * cell)
    return row, column


@njit(cache=True, fastmath=True, inline="always")
def _gather(index, geometry, order, cell, row, column, ray, ids, alphas, weights, ts, us, vs):
    """Fill the contributions of the neighbourhood front to back; return their number and the transmittance left."""
    rows, columns = index.shape
    ox, oy, oz, dx, dy, dz = ray
    count = 0
    passed = np.float32(1.0)
    for k in range(NEIGHBOURS):
        r = row + order[k, 0]
        c = column + order[k, 1]
        if r < 0 or c < 0 or r >= rows or c >= columns:
            continue
        i = index[r, c]
        if i < 0:
            continue
        g = geometry[i]
        from_x = ox - (c + np.float32(0.5)) * cell
        from_y = oy - (r + np.float32(0.5)) * cell
        t = (g[Z] - oz + g[TILT_X] * from_x + g[TILT_Y] * from_y) / (dz - g[TILT_X] * dx - g[TILT_Y] * dy)
        u = (from_x + t * dx) * g[INV_SX]
        v = (from_y + t * dy) * g[INV_SY]
        q = u * u + v * v
        if q > Q_MAX or t <= 0:
            continue
        alpha = min(np.float32(ALPHA_MAX), g[OPACITY] * np.float32(math.exp(np.float32(-0.5) * q)))
        ids[count], alphas[count], weights[count] = i, alpha, alpha * passed
        ts[count], us[count], vs[count] = t, u, v
        count += 1
        passed *= np.float32(1.0) - alpha
        if passed < TRANSMITTANCE_MIN:
            break
    return count, passed


@njit(cache=True, fastmath=True, parallel=True)
def forward(index, geometry, features, order, cell, start_z, origin, direction, out, out_alpha, out_depth):
    """Fill features (P, C), alpha (P,) and depth (P,) of rays `direction` (P, 3) from `origin` (3,)."""
    rays = direction.shape[0]
    channels = features.shape[1]
    for partition in prange(PARTITIONS):
        ids = np.empty(NEIGHBOURS, np.int32)
        alphas = np.empty(NEIGHBOURS, np.float32)
        weights = np.empty(NEIGHBOURS, np.float32)
        ts = np.empty(NEIGHBOURS, np.float32)
        us = np.empty(NEIGHBOURS, np.float32)
        vs = np.empty(NEIGHBOURS, np.float32)
        for p in range(partition * rays // PARTITIONS, (partition + 1) * rays // PARTITIONS):
            dx, dy, dz = direction[p, 0], direction[p, 1], direction[p, 2]
            ox, oy, oz = origin[0], origin[1], origin[2]
            row, column = _hit_cell(index, geometry, cell, start_z, ox, oy, oz, dx, dy, dz)
            ray = (ox, oy, oz, dx, dy, dz)
            count, passed = _gather(index, geometry, order, cell, row, column, ray, ids, alphas, weights, ts, us, vs)
            depth = np.float32(0.0)
            for c in range(channels):
                out[p, c] = 0.0
            for k in range(count):
                w = weights[k]
                f = features[ids[k]]
                depth += w * ts[k]
                for c in range(channels):
                    out[p, c] += w * f[c]
            out_alpha[p] = np.float32(1.0) - passed
            out_depth[p] = depth


@njit(cache=True, fastmath=True, parallel=True)
def backward(
    index,
    geometry,
    features,
    order,
    cell,
    start_z,
    origin,
    direction,
    live,
    grad_out,
    grad_alpha,
    grad_geometry,
    grad_features,
):
    """Add the gradients of packed geometry (PARTITIONS, N, 6) and features (PARTITIONS, N, C), one buffer a partition.

    With A the accumulated alpha, w_i the weights, T_i the transmittance in front of i and c_i = f_i . dL/dout:
    dL/dalpha_i = T_i c_i - (sum_{j>i} w_j c_j) / (1 - alpha_i) + dL/dA T_end / (1 - alpha_i).
    The hit parameter t of a plane moves by dt/dz = 1/n, dt/dtilt_x = (x - x_i)/n with n = d_z - tilt . d_xy.
    """
    rays = direction.shape[0]
    channels = features.shape[1]
    for partition in prange(PARTITIONS):
        ids = np.empty(NEIGHBOURS, np.int32)
        alphas = np.empty(NEIGHBOURS, np.float32)
        weights = np.empty(NEIGHBOURS, np.float32)
        ts = np.empty(NEIGHBOURS, np.float32)
        us = np.empty(NEIGHBOURS, np.float32)
        vs = np.empty(NEIGHBOURS, np.float32)
        for p in range(partition * rays // PARTITIONS, (partition + 1) * rays // PARTITIONS):
            dx, dy, dz = direction[p, 0], direction[p, 1], direction[p, 2]
            ox, oy, oz = origin[0], origin[1], origin[2]
            row, column = _hit_cell(index, geometry, cell, start_z, ox, oy, oz, dx, dy, dz)
            ray = (ox, oy, oz, dx, dy, dz)
            count, passed = _gather(index, geometry, order, cell, row, column, ray, ids, alphas, weights, ts, us, vs)
            go = grad_out[p]
            behind = np.float32(0.0)
            to_alpha = grad_alpha[p] * passed
            for k in range(count - 1, -1, -1):
                i = ids[k]
                w = weights[k]
                alpha = alphas[k]
                f = features[i]
                gf = grad_features[partition, i]
                product = np.float32(0.0)
                for c in range(channels):
                    gf[c] += w * go[c]
                for c in range(live):
                    product += f[c] * go[c]
                left = np.float32(1.0) - alpha
                slope_alpha = w / alpha * product - (behind - to_alpha) / left
                behind += w * product
                if alpha >= np.float32(ALPHA_MAX):
                    continue
                g = geometry[i]
                gg = grad_geometry[partition, i]
                u, v = us[k], vs[k]
                slope_q = np.float32(-0.5) * alpha * slope_alpha
                n = dz - g[TILT_X] * dx - g[TILT_Y] * dy
                slope_t = slope_q * np.float32(2.0) * (u * dx * g[INV_SX] + v * dy * g[INV_SY]) / n
                gg[Z] += slope_t
                gg[TILT_X] += slope_t * u / g[INV_SX]
                gg[TILT_Y] += slope_t * v / g[INV_SY]
                # Gradients of the natural logs of the scales, and of the opacity's logit
                gg[INV_SX] -= np.float32(2.0) * slope_q * u * u
                gg[INV_SY] -= np.float32(2.0) * slope_q * v * v
                gg[OPACITY] += slope_alpha * alpha * (np.float32(1.0) - g[OPACITY])
