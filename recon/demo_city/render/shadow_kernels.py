"""Numba kernels for the shadows of moving solids, which are not baked into the ground."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.scene.ground_kernels import RAISE_M
from recon.demo_city.scene.ray_kernels import STEEPEST, solid_hit
from recon.demo_city.scene.solid_columns import CENTER, LEAVES, MATERIAL, RADIUS

SHADOW_CELLS_M = 90.0  # from the camera to the last cell of moving shadows; farther ones are too small to be visible


@njit(**KERNEL)
def shadow_cells(ground, solids, x, y, sx, sy, sz):
    """Return the square metres around a place that solids may shadow: (cells (N, N), west, south).

    The test is conservative: no point of the ground in an excluded cell loses light.
    """
    count = int(2 * SHADOW_CELLS_M)
    west, south = x - SHADOW_CELLS_M, y - SHADOW_CELLS_M
    cells = np.zeros((count, count), np.bool_)
    flat = math.sqrt(sx * sx + sy * sy)
    # Within a cell the ground lies this much above or below its middle, kerbs included.
    slack = 0.75 + (STEEPEST + RAISE_M) * flat / max(sz, 1e-6)
    for i in range(solids.shape[0]):
        cx, cy, cz = solids[i, CENTER], solids[i, CENTER + 1], solids[i, CENTER + 2]
        radius = solids[i, RADIUS]
        rise = abs(cz - bilinear(ground.base_z, ground.raster, cx, cy)) + radius
        # The land may fall from the foot at the steepest slope; under a low sun shadows may then lie anywhere.
        reach = (rise * flat + radius) / max(sz - STEEPEST * flat, 1e-6) + slack
        if reach > SHADOW_CELLS_M:
            cells[:] = True
            break
        for r in range(max(int(cy - reach - south), 0), min(int(cy + reach - south) + 1, count)):
            for c in range(max(int(cx - reach - west), 0), min(int(cx + reach - west) + 1, count)):
                px, py = west + c + 0.5, south + r + 0.5
                up = (cz - bilinear(ground.base_z, ground.raster, px, py)) / max(sz, 1e-6)
                if math.hypot(px + up * sx - cx, py + up * sy - cy) <= radius / max(sz, 1e-6) + slack:
                    cells[r, c] = True
    return cells, west, south


@njit(**POINT, forceinline=True)
def may_be_shadowed(shadows, x, y):
    """Return whether a place lies in a cell of `shadow_cells`, or beyond them all."""
    cells, west, south = shadows
    r, c = math.floor(y - south), math.floor(x - west)
    if r < 0 or c < 0 or r >= cells.shape[0] or c >= cells.shape[1]:
        return True
    return cells[r, c]


@njit(**POINT, forceinline=True)
def sunlit(solids, x, y, z, sx, sy, sz):
    """Return the share of sunlight that solids let through to a point."""
    light = 1.0
    for i in range(solids.shape[0]):
        hit, _ = solid_hit(solids, i, x, y, z, sx, sy, sz)
        if hit < np.inf:
            if int(solids[i, MATERIAL]) == LEAVES:
                light *= 0.45  # a crown has several ellipsoids, and each lets light through
            else:
                return 0.0
    return light
