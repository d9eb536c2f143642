"""Numba kernels that find the solids that the rays of a block of pixels, or of a cone, may hit."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.scene.solid_columns import CENTER, RADIUS

BLOCK_PX = 8
WIDE_BLOCKS = 8  # blocks a side of a wide block, whose solids are searched first


@njit(**POINT, inline="always")
def pixel_ray(camera, u, v):
    """Return the unit world direction of a pixel position."""
    x = (u - camera.cx) / camera.focal_px
    y = (v - camera.cy) / camera.focal_px
    size = 1.0 / math.sqrt(x * x + y * y + 1.0)
    r = camera.rotation
    return (
        (r[0, 0] * x + r[0, 1] * y + r[0, 2]) * size,
        (r[1, 0] * x + r[1, 1] * y + r[1, 2]) * size,
        (r[2, 0] * x + r[2, 1] * y + r[2, 2]) * size,
    )


@njit(**POINT)
def in_cone(solids, order, ox, oy, oz, dx, dy, dz, half_angle, found):
    """Fill `found` with the solids, in the given order, whose bounding sphere meets a cone; return their number."""
    count = 0
    for k in range(order.shape[0]):
        i = order[k]
        px = solids[i, CENTER + 0] - ox
        py = solids[i, CENTER + 1] - oy
        pz = solids[i, CENTER + 2] - oz
        distance = math.sqrt(px * px + py * py + pz * pz)
        if distance > solids[i, RADIUS]:
            cosine = (px * dx + py * dy + pz * dz) / distance
            reach = math.asin(solids[i, RADIUS] / distance) + half_angle
            if reach < math.pi and cosine < math.cos(reach):
                continue
        found[count] = i
        count += 1
    return count


@njit(**KERNEL)
def candidates(solids, order, camera, oz, sign, slope, found, counts):
    """Fill `found` and `counts` with the solids, in the given order, that the rays of each block of pixels may hit.

    Rays start at the height `oz`; with `sign` -1 downward rays are reflected upwards, by up to `slope` radians off.
    """
    ox, oy, _ = camera.position
    block_rows, block_columns = counts.shape
    narrow = (0.75 * BLOCK_PX + 1.0) / camera.focal_px
    broad = narrow + slope + (0.75 * BLOCK_PX * WIDE_BLOCKS + 1.0) / camera.focal_px
    wide = np.empty(max(order.shape[0], 1), np.int32)
    for top in range(0, block_rows, WIDE_BLOCKS):
        for left in range(0, block_columns, WIDE_BLOCKS):
            dx, dy, dz = pixel_ray(camera, (left + WIDE_BLOCKS / 2) * BLOCK_PX, (top + WIDE_BLOCKS / 2) * BLOCK_PX)
            near = wide[: in_cone(solids, order, ox, oy, oz, dx, dy, sign * dz, broad, wide)]
            for br in range(top, min(top + WIDE_BLOCKS, block_rows)):
                for bc in range(left, min(left + WIDE_BLOCKS, block_columns)):
                    dx, dy, dz = pixel_ray(camera, (bc + 0.5) * BLOCK_PX, (br + 0.5) * BLOCK_PX)
                    counts[br, bc] = 0
                    if sign > 0.0 or dz < narrow:
                        counts[br, bc] = in_cone(
                            solids, near, ox, oy, oz, dx, dy, sign * dz, narrow + slope, found[br, bc]
                        )
