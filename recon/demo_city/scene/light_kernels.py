"""Numba kernels that bake light into the ground: shadows of the static solids, and the light of street lamps."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear, smooth_step
from recon.demo_city.numba_options import KERNEL
from recon.demo_city.scene.ray_kernels import solid_hit
from recon.demo_city.scene.solid_columns import CENTER, LEAVES, MATERIAL, RADIUS


@njit(**KERNEL)
def shade_ground(ground, solids, sx, sy, sz):
    """Darken `ground.shade` where static solids stand between the ground and the sun."""
    west, south, cell = ground.shade_raster
    rows, columns = ground.shade.shape
    for i in range(solids.shape[0]):
        radius = solids[i, RADIUS]
        foot = bilinear(ground.base_z, ground.raster, solids[i, CENTER + 0], solids[i, CENTER + 1])
        rise = solids[i, CENTER + 2] - foot
        # The shadow ends at the shadow of the top of the bounding sphere.
        far_x = solids[i, CENTER + 0] - (rise + radius) * sx / sz
        far_y = solids[i, CENTER + 1] - (rise + radius) * sy / sz
        reach = radius / sz + 1.0
        c0 = max(int((min(solids[i, CENTER + 0], far_x) - reach - west) / cell), 0)
        c1 = min(int((max(solids[i, CENTER + 0], far_x) + reach - west) / cell) + 1, columns)
        r0 = max(int((min(solids[i, CENTER + 1], far_y) - reach - south) / cell), 0)
        r1 = min(int((max(solids[i, CENTER + 1], far_y) + reach - south) / cell) + 1, rows)
        for r in range(r0, r1):
            for c in range(c0, c1):
                if ground.shade[r, c] == 0:
                    continue
                x = west + c * cell
                y = south + r * cell
                z = bilinear(ground.base_z, ground.raster, x, y) + 0.02
                hit, _ = solid_hit(solids, i, x, y, z, sx, sy, sz)
                if hit < np.inf:
                    keep = 0.5 if int(solids[i, MATERIAL]) == LEAVES else 0.0
                    ground.shade[r, c] = int(ground.shade[r, c] * keep)


@njit(**KERNEL)
def light_lamps(ground, lamps):
    """Fill `ground.glow` with the light of street lamps (N, 3): 1 under a lamp 6 m high."""
    west, south, cell = ground.raster
    rows, columns = ground.glow.shape
    for i in range(lamps.shape[0]):
        c0 = max(int((lamps[i, 0] - 28.0 - west) / cell), 0)
        c1 = min(int((lamps[i, 0] + 28.0 - west) / cell) + 1, columns)
        r0 = max(int((lamps[i, 1] - 28.0 - south) / cell), 0)
        r1 = min(int((lamps[i, 1] + 28.0 - south) / cell) + 1, rows)
        for r in range(r0, r1):
            for c in range(c0, c1):
                dx = west + c * cell - lamps[i, 0]
                dy = south + r * cell - lamps[i, 1]
                dz = lamps[i, 2] - ground.base_z[r, c]
                far = dx * dx + dy * dy + dz * dz
                # A lamp emits more to the sides than straight down.
                ground.glow[r, c] += (
                    36.0 * dz / (far * math.sqrt(far)) * (dz + 4.0) / 1.6 * smooth_step(784.0, 300.0, far)
                )
