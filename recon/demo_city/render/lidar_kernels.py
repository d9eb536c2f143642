"""Numba kernels that sweep the LiDAR over a scene."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import hash01
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.render.candidate_kernels import in_cone
from recon.demo_city.scene.ground_kernels import ground_albedo
from recon.demo_city.scene.ray_kernels import GROUND, SKY, cast
from recon.demo_city.scene.solid_columns import COLOR


@njit(**POINT, inline="always")
def _turned(r, d):
    return (
        r[0, 0] * d[0] + r[0, 1] * d[1] + r[0, 2] * d[2],
        r[1, 0] * d[0] + r[1, 1] * d[1] + r[1, 2] * d[2],
        r[2, 0] * d[0] + r[2, 1] * d[1] + r[2, 2] * d[2],
    )


@njit(**POINT)
def _angle(a, b):
    return math.acos(min(max(a[0] * b[0] + a[1] * b[1] + a[2] * b[2], -1.0), 1.0))


@njit(**KERNEL, nogil=True)
def sweep(ground, solids, order, position, rotation, directions, max_range_m, noise_m, counter):
    """Return (N, 4) f32 points of one LiDAR turn, x, y, z in the LiDAR's frame and intensity 0..1.

    `directions` (columns, beams, 3) unit vectors in the LiDAR's frame.
    """
    columns, beams, _ = directions.shape
    points = np.empty((columns * beams, 4), np.float32)
    found = np.empty(max(order.shape[0], 1), np.int32)
    ox, oy, oz = position
    kept = 0
    r = rotation
    for c in range(columns):
        # The beams of one column lie within a cone around its middle.
        d = directions[c, beams // 2]
        dx, dy, dz = _turned(r, d)
        spread = max(_angle(d, directions[c, 0]), _angle(d, directions[c, beams - 1])) + 1e-3
        count = in_cone(solids, order, ox, oy, oz, dx, dy, dz, spread, found)
        for b in range(beams):
            d = directions[c, b]
            dx, dy, dz = _turned(r, d)
            owner, tau, _face = cast(ground, solids, found, count, ox, oy, oz, dx, dy, dz)
            ray = c * beams + b
            if owner == SKY or tau > max_range_m or hash01(ray, counter, 17) < 0.03:
                continue
            if owner == GROUND:
                bright, _, _ = ground_albedo(ground, ox + tau * dx, oy + tau * dy, 1)
            else:
                bright = solids[owner, COLOR]
            draw = hash01(ray, counter, 4) + hash01(ray, counter, 5) + hash01(ray, counter, 6) - 1.5
            distance = tau + 2.0 * noise_m * draw
            points[kept, 0] = d[0] * distance
            points[kept, 1] = d[1] * distance
            points[kept, 2] = d[2] * distance
            points[kept, 3] = min(bright, 1.0)
            kept += 1
    return points[:kept].copy()
