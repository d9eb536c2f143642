"""Numba kernels that paint the tiles of the ground: asphalt, markings, kerbs, sidewalks, and their mip levels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import fractal_noise, hash01, smooth_step, value_noise
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.plan.marking_kernels import YELLOW
from recon.demo_city.plan.plan_kernels import locate
from recon.demo_city.scene.ground_kernels import (
    CURB,
    CURB_FACE_M,
    EDGE_STEP_M,
    LEVEL_BASE,
    LEVELS,
    OFF_ROAD,
    ROAD,
    TILE,
    TILE_TEXELS,
    grass,
)

# Entries of the palette of a seed
ASPHALT, BLUE, KERB, SLAB, SLAB_M, PAINT, WEAR, CRACKS, GRAIN, SURFACE, PAVED_BAYS, VERGE, TRACKS, WARMTH, WALK = range(
    15
)
PALETTE_SIZE = 15


@njit(**POINT)
def _stones(u, v, size, seed):
    """Return the tone of a paving of staggered stones; u is across the rows."""
    row = math.floor(u / size)
    v = v / size + (0.5 if row % 2 == 1 else 0.0)
    u = u / size
    tone = 0.84 + 0.24 * hash01(row, math.floor(v), seed)
    edge = min(u - math.floor(u), math.ceil(u) - u, v - math.floor(v), math.ceil(v) - v) * size
    return tone * (0.62 if edge < min(0.013, 0.08 * size) else 1.0)


@njit(**POINT)
def _asphalt(street, s, t, x, y, lanes, repairs, manholes, palette, seed):
    ix = math.floor(x * 40.0)
    iy = math.floor(y * 40.0)
    grain = palette[GRAIN]
    light = 1.0 - 0.6 * grain + grain * hash01(ix, iy, seed) + 0.22 * (fractal_noise(x * 0.9, y * 0.9, seed + 1) - 0.5)
    light *= 0.9 + 0.2 * value_noise(x * 0.11, y * 0.11, seed + 5)
    base = palette[ASPHALT]
    warm = palette[WARMTH]
    if street < 0:
        for i in range(lanes.shape[0]):
            across = abs(t - lanes[i, 0])
            if across > 0.5 * lanes[i, 1]:
                continue
            if lanes[i, 2] == 0.0:
                # Tyres polish two tracks in each lane; oil darkens the strip between them.
                light *= 1.0 + palette[TRACKS] * math.exp(-(((across - 0.78) / 0.28) ** 2))
                light *= 1.0 - 1.4 * palette[TRACKS] * math.exp(-((across / 0.3) ** 2)) * value_noise(
                    s * 0.15, t, seed + 6
                )
            elif lanes[i, 2] == 2.0 and palette[PAVED_BAYS] > 0.0:
                light = 1.25 * _stones(t, s, 0.16 if palette[PAVED_BAYS] < 2.0 else 0.24, seed + 50)
            elif lanes[i, 2] == 1.0 and palette[PAVED_BAYS] < 0.0:
                warm *= 1.5
        for i in range(repairs.shape[0]):
            if repairs[i, 0] <= s <= repairs[i, 1] and repairs[i, 2] <= t <= repairs[i, 3]:
                edge = min(s - repairs[i, 0], repairs[i, 1] - s, t - repairs[i, 2], repairs[i, 3] - t)
                light *= 0.55 if edge < 0.04 else repairs[i, 4]
    else:
        light *= 0.85 + 0.3 * hash01(street, 3, seed)
    if palette[SURFACE] == 1.0:
        along = s / 5.0 - math.floor(s / 5.0)
        light *= 0.7 if min(along, 1.0 - along) * 5.0 < 0.015 or abs(t) < 0.012 else 1.0
    crack = abs(fractal_noise(x * 0.45, y * 0.45, seed + 9) - 0.5)
    if crack < 0.004 and value_noise(x * 0.2, y * 0.2, seed + 12) > palette[CRACKS]:
        light *= 0.45
    if street < 0:
        for i in range(manholes.shape[0]):
            ds = s - manholes[i, 0]
            dt = t - manholes[i, 1]
            if abs(ds) < 0.6 and abs(dt) < 0.6:
                r = math.sqrt(ds * ds + dt * dt)
                if r < manholes[i, 2]:
                    ribs = 0.12 if math.sin(ds * 50.0) * math.sin(dt * 50.0) > 0.0 else 0.0
                    light = 0.5 + ribs if r < manholes[i, 2] - 0.05 else 0.35
    return base * light * warm, base * light, base * light * palette[BLUE]


@njit(**POINT)
def _land(s, t_out, width, x, y, palette, seed):
    """Return albedo and class of the land `t_out` metres behind the foot of the kerb."""
    if t_out < 0.18:
        joint = 0.6 if (s % 1.0) < 0.025 else 1.0
        light = joint * (0.85 + 0.25 * fractal_noise(x * 3.0, y * 3.0, seed + 20))
        light *= 0.8 if t_out < CURB_FACE_M else 1.0
        return palette[KERB] * light, palette[KERB] * light * 0.99, palette[KERB] * light * 0.94, CURB
    if t_out < 0.18 + width or palette[VERGE] == 1.0:
        dirt = 0.88 + 0.2 * fractal_noise(x * 2.0, y * 2.0, seed + 22)
        if palette[WALK] == 1.0:
            tone = dirt * (0.9 + 0.2 * hash01(math.floor(x * 40.0), math.floor(y * 40.0), seed + 23))
            return 0.16 * tone, 0.16 * tone, 0.155 * tone, OFF_ROAD
        if palette[WALK] == 2.0:
            tone = dirt * _stones(t_out, s, 0.22, seed + 21)
            return 0.30 * tone, 0.17 * tone, 0.13 * tone, OFF_ROAD
        tone = dirt * _stones(t_out - 0.18, s, palette[SLAB_M], seed + 21)
        return palette[SLAB] * tone, palette[SLAB] * tone * 0.975, palette[SLAB] * tone * 0.92, OFF_ROAD
    if palette[VERGE] == 2.0 and t_out < width + 3.2:
        tone = 0.7 + 0.5 * hash01(math.floor(x * 30.0), math.floor(y * 30.0), seed + 24)
        return 0.27 * tone, 0.24 * tone, 0.19 * tone, OFF_ROAD
    red, green, blue = grass(x, y, seed)
    return red, green, blue, OFF_ROAD


@njit(**KERNEL, nogil=True)
def paint_tiles(corners, texel_m, plan, stencil, walks, lanes, repairs, manholes, palette, seed):
    """Paint tiles of the plan; return colour (n, texels, 3), ids and kerb distance (n, TILE, TILE).

    `corners` (n, 2) world metres of each tile's lower left. `stencil` (n, TILE, TILE) is the class of the paint, with
    the bit YELLOW. Colours are square roots of albedo, 255 = 1.
    """
    n = corners.shape[0]
    color = np.zeros((n, TILE_TEXELS, 3), np.uint8)
    ids = np.zeros((n, TILE, TILE), np.uint8)
    edge = np.zeros((n, TILE, TILE), np.uint8)
    for k in range(n):
        for r in range(TILE):
            y = corners[k, 1] + (r + 0.5) * texel_m
            for c in range(TILE):
                x = corners[k, 0] + (c + 0.5) * texel_m
                out, street, s, t = locate(plan, x, y)
                if out >= 0.0:
                    red, green, blue, road_class = _land(s, out, walks[0 if t > 0.0 else 1], x, y, palette, seed)
                else:
                    red, green, blue = _asphalt(street, s, t, x, y, lanes, repairs, manholes, palette, seed)
                    gutter = smooth_step(-0.5, 0.0, out) * (0.5 + 0.5 * value_noise(s * 1.3, t * 3.0, seed + 30))
                    dirt = 1.0 - 0.3 * gutter
                    red, green, blue = red * dirt, green * dirt, blue * dirt
                    road_class = ROAD
                    painted = int(stencil[k, r, c])
                    if painted:
                        yellow = 1.0 if painted & YELLOW else 0.0
                        road_class = painted & ~YELLOW
                        wear = 0.65 * fractal_noise(x * 2.2, y * 2.2, seed + 31) + 0.35 * hash01(
                            int(x * 40), int(y * 40), seed + 34
                        )
                        cover = 0.95 * (1.0 - palette[WEAR] * smooth_step(0.42, 0.72, wear))
                        # Some stretches were repainted later than others.
                        cover *= 1.0 - 0.35 * palette[WEAR] * value_noise(s * 0.03, street + 0.5, seed + 36)
                        red += (palette[PAINT] - red) * cover
                        green += (palette[PAINT] * (0.99 - 0.27 * yellow) - green) * cover
                        blue += (palette[PAINT] * (0.95 - 0.72 * yellow) - blue) * cover
                ids[k, r, c] = road_class
                edge[k, r, c] = round(min(max(out / EDGE_STEP_M, -127.0), 127.0)) + 128
                texel = r * TILE + c
                color[k, texel, 0] = int(255.0 * math.sqrt(min(max(red, 0.0), 1.0)) + 0.5)
                color[k, texel, 1] = int(255.0 * math.sqrt(min(max(green, 0.0), 1.0)) + 0.5)
                color[k, texel, 2] = int(255.0 * math.sqrt(min(max(blue, 0.0), 1.0)) + 0.5)
        _shrink(color[k])
    return color, ids, edge


@njit(**POINT)
def _shrink(color):
    """Fill the mip levels of one tile: means of albedo, not of its square root."""
    for level in range(1, LEVELS):
        fine, coarse = LEVEL_BASE[level - 1], LEVEL_BASE[level]
        side = TILE >> level
        for r in range(side):
            for c in range(side):
                for band in range(3):
                    total = 0.0
                    for dr in range(2):
                        for dc in range(2):
                            v = float(color[fine + (2 * r + dr) * 2 * side + 2 * c + dc, band])
                            total += v * v
                    color[coarse + r * side + c, band] = int(math.sqrt(total * 0.25) + 0.5)
