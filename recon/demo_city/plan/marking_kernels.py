"""Numba kernels that find which marking of a street lies at a place: the stencil of its paint."""

from __future__ import annotations

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.plan.plan_kernels import arm_coordinates, locate

YELLOW = 128  # bit of a stencil's values beside the class
GLYPH_HATCH = 100


@njit(**POINT)
def _paint_at(street, s, t, markings, near, count, atlas):
    """Return class and colour (1 yellow) of the marking at a place on the road, or 0."""
    for k in range(count):
        m = markings[near[k]]
        if int(m[8]) != street or s < m[0] or s > m[1] or t < m[2] or t > m[3]:
            continue
        glyph = int(m[9])
        if glyph == GLYPH_HATCH:
            if (s + t + 1000.0) % m[5] <= m[6]:
                return int(m[4]), m[10]
        elif glyph >= 0:
            a = (s - m[0]) / (m[1] - m[0])
            b = (t - m[2]) / (m[3] - m[2])
            if m[11] > 0.0:
                a, b = 1.0 - a, 1.0 - b
            row = min(int((1.0 - a) * atlas.shape[1]), atlas.shape[1] - 1)
            column = min(int((1.0 - b) * atlas.shape[2]), atlas.shape[2] - 1)
            if atlas[glyph, row, column]:
                return int(m[4]), m[10]
        elif m[5] <= 0.0 or (s - m[7]) % m[5] <= m[6]:
            return int(m[4]), m[10]
    return 0, 0.0


@njit(**POINT)
def _near_markings(markings, plan, x, y, reach, near):
    """Fill `near` with the markings that may touch a disc; return their number."""
    count = 0
    for i in range(markings.shape[0]):
        street = int(markings[i, 8])
        if street < 0:
            s = bilinear(plan.st[:, :, 0], plan.raster, x, y)
            t = bilinear(plan.st[:, :, 1], plan.raster, x, y)
        else:
            s, t = arm_coordinates(plan.arms, street, x, y)
        inside_s = markings[i, 0] - reach < s < markings[i, 1] + reach
        if inside_s and markings[i, 2] - reach < t < markings[i, 3] + reach:
            near[count] = i
            count += 1
    return count


@njit(**KERNEL, nogil=True)
def street_stencil(corners, texel_m, side, plan, markings, atlas):
    """Return (n, side, side) u8: the class of the paint on the texels of tiles, 0 = none, with the bit YELLOW.

    `corners` (n, 2) world metres of each tile's lower left.
    """
    n = corners.shape[0]
    stencil = np.zeros((n, side, side), np.uint8)
    near = np.empty(markings.shape[0] + 1, np.int64)
    half = 0.5 * side * texel_m
    for k in range(n):
        count = _near_markings(markings, plan, corners[k, 0] + half, corners[k, 1] + half, 1.7 * half, near)
        if count == 0:
            continue
        for r in range(side):
            for c in range(side):
                x = corners[k, 0] + (c + 0.5) * texel_m
                y = corners[k, 1] + (r + 0.5) * texel_m
                out, street, s, t = locate(plan, x, y)
                if out < 0.0:
                    painted, yellow = _paint_at(street, s, t, markings, near, count, atlas)
                    stencil[k, r, c] = painted + (YELLOW if painted and yellow > 0.0 else 0)
    return stencil
