"""Numba kernels of the street plan: the signed distance to the kerb, with junctions and islands."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from recon.arrays import F32, F64
from recon.demo_city.noise_kernels import bilinear
from recon.demo_city.numba_options import KERNEL, POINT

# Columns of an arm: a straight side street that leaves the main street to one side
ORIGIN, ALONG, LEFT, RIGHT, START, CORNER, LENGTH = 0, 2, 4, 5, 6, 7, 8
ARM_COLUMNS = 9
# Columns of an island, a rounded rectangle in the main street's road coordinates: s, t, half length, half width, radius


class Plan(NamedTuple):
    """The position of the roads, as the kernels read it."""

    st: F64  # (rows, columns, 2) main street's road coordinates, bilinear between samples
    raster: tuple[float, float, float]  # west, south, cell
    left_m: float
    right_m: float
    arms: F64  # (J, ARM_COLUMNS)
    islands: F64  # (I, 5)
    kerb: (
        F32  # (rows, columns) distance to the kerb where it was surveyed, bilinear; empty where arms and widths say it
    )
    kerb_raster: tuple[float, float, float]


@njit(**POINT, forceinline=True)
def arm_coordinates(arms, j, x, y):
    """Return metres along an arm from the main street's axis, and to its left."""
    px = x - arms[j, ORIGIN]
    py = y - arms[j, ORIGIN + 1]
    ux = arms[j, ALONG]
    uy = arms[j, ALONG + 1]
    return px * ux + py * uy, py * ux - px * uy


@njit(**POINT)
def locate(plan, x, y):
    """Return metres behind the nearest kerb (negative on the road), the street (-1 main, else arm), and s, t in it."""
    s = bilinear(plan.st[:, :, 0], plan.raster, x, y)
    t = bilinear(plan.st[:, :, 1], plan.raster, x, y)
    if plan.kerb.shape[0] > 0:
        return float(bilinear(plan.kerb, plan.kerb_raster, x, y)), -1, s, t
    main = max(t - plan.left_m, plan.right_m - t)
    out = main
    street = -1
    best = main
    bs = s
    bt = t
    for j in range(plan.arms.shape[0]):
        along, left = arm_coordinates(plan.arms, j, x, y)
        if along < -1.0 or along > plan.arms[j, LENGTH] + 20.0:
            continue
        radius = plan.arms[j, CORNER]
        arm = max(
            left - plan.arms[j, LEFT],
            plan.arms[j, RIGHT] - left,
            plan.arms[j, START] - along,
            along - plan.arms[j, LENGTH],
        )
        # A union whose re-entrant corners are circular, as kerbs are.
        u = max(radius - out, 0.0)
        v = max(radius - arm, 0.0)
        out = max(radius, min(out, arm)) - math.sqrt(u * u + v * v)
        if arm < best and main > 0.0:
            street = j
            best = arm
            bs = along
            bt = left
    for i in range(plan.islands.shape[0]):
        if abs(s - plan.islands[i, 0]) > plan.islands[i, 2] + 2.0:
            continue
        radius = plan.islands[i, 4]
        u = abs(s - plan.islands[i, 0]) - plan.islands[i, 2] + radius
        v = abs(t - plan.islands[i, 1]) - plan.islands[i, 3] + radius
        box = min(max(u, v), 0.0) + math.sqrt(max(u, 0.0) ** 2 + max(v, 0.0) ** 2) - radius
        out = max(out, -box)
    return out, street, bs, bt


@njit(**KERNEL, nogil=True)
def signed_kerb_distance(plan, xy):
    """Return (N,) signed distances in metres to the nearest kerb of world points (N, 2): positive behind it."""
    result = np.empty(xy.shape[0])
    for i in range(xy.shape[0]):
        result[i] = locate(plan, xy[i, 0], xy[i, 1])[0]
    return result
