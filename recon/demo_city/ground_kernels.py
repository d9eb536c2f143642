"""Numba kernels of the ground: painting texels, shrinking them to mip levels, and looking them up."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import fractal_noise, hash01, smooth_step, value_noise
from recon.demo_city.options import KERNEL

TILE = 128  # texels a side
LEVELS = 6  # mip levels, the last with 4 texels a side
LEVEL_BASE = (0, 16384, 20480, 21504, 21760, 21824)  # texels of a tile's finer levels, summed
TILE_TEXELS = 21840
EDGE_STEP_M = 0.0005  # of the u8 signed distance to the foot of the nearest kerb, 128 = at it, more = behind it
RAISE_M = 0.12  # kerbs, sidewalks and all land beyond them
CURB_FACE_M = 0.03  # the face leans back a little, as cast kerbs do
# Class ids, equal to RoadClass: numba cannot read an IntEnum's members as constants
ROAD, MARKING, CROSSWALK, CURB, OFF_ROAD, STOP_LINE = 1, 2, 3, 4, 5, 7


@njit(**KERNEL)
def grass(x, y, seed):
    """Return the albedo of grass at a world point."""
    broad = fractal_noise(x * 0.35, y * 0.35, seed + 40)
    fine = value_noise(x * 6.0, y * 6.0, seed + 43)
    light = 0.62 + 0.5 * broad + 0.35 * (fine - 0.5)
    dry = smooth_step(0.5, 0.8, value_noise(x * 0.12, y * 0.12, seed + 44))
    return (0.085 + 0.09 * dry) * light, (0.125 + 0.03 * dry) * light, 0.045 * light


@njit(**KERNEL)
def _asphalt(s, t, x, y, lane_m, repairs, manholes, palette, seed):
    ix = math.floor(x * 40.0)
    iy = math.floor(y * 40.0)
    light = 0.82 + 0.30 * hash01(ix, iy, seed) + 0.22 * (fractal_noise(x * 0.9, y * 0.9, seed + 1) - 0.5)
    light *= 0.9 + 0.2 * value_noise(x * 0.11, y * 0.11, seed + 5)
    # Tyres polish two tracks in each lane; oil darkens the strip between them.
    if abs(t) < lane_m:
        across = abs(abs(t) - 0.5 * lane_m)
        light *= 1.0 + 0.10 * math.exp(-(((across - 0.78) / 0.28) ** 2))
        light *= 1.0 - 0.14 * math.exp(-((across / 0.3) ** 2)) * value_noise(s * 0.15, t, seed + 6)
    base = palette[0]
    for i in range(repairs.shape[0]):
        if repairs[i, 0] <= s <= repairs[i, 1] and repairs[i, 2] <= t <= repairs[i, 3]:
            rim = min(s - repairs[i, 0], repairs[i, 1] - s, t - repairs[i, 2], repairs[i, 3] - t)
            light *= 0.55 if rim < 0.04 else repairs[i, 4]
    crack = abs(fractal_noise(x * 0.45, y * 0.45, seed + 9) - 0.5)
    if crack < 0.004 and value_noise(x * 0.2, y * 0.2, seed + 12) > 0.55:
        light *= 0.45
    warm = 1.0
    for i in range(manholes.shape[0]):
        ds = s - manholes[i, 0]
        dt = t - manholes[i, 1]
        if abs(ds) < 0.6 and abs(dt) < 0.6:
            r = math.sqrt(ds * ds + dt * dt)
            if r < manholes[i, 2]:
                ribs = 0.12 if math.sin(ds * 50.0) * math.sin(dt * 50.0) > 0.0 else 0.0
                light = 0.5 + ribs if r < manholes[i, 2] - 0.05 else 0.35
                warm = 1.06
    return base * light * warm, base * light, base * light * palette[1]


@njit(**KERNEL)
def _paint_at(s, t, markings):
    """Return the class of the marking at a place on the road, or 0."""
    for i in range(markings.shape[0]):
        m = markings[i]
        if m[0] <= s <= m[1] and m[2] <= t <= m[3] and (m[5] <= 0.0 or (s - m[7]) % m[5] <= m[6]):
            return int(m[4])
    return 0


@njit(**KERNEL)
def _walk(s, t_out, width, x, y, palette, seed):
    """Return albedo and class of the land `t_out` metres behind the foot of the kerb."""
    if t_out < 0.18:
        joint = 0.6 if (s % 1.0) < 0.025 else 1.0
        light = joint * (0.85 + 0.25 * fractal_noise(x * 3.0, y * 3.0, seed + 20))
        light *= 0.8 if t_out < CURB_FACE_M else 1.0
        return palette[2] * light, palette[2] * light * 0.99, palette[2] * light * 0.94, CURB
    if t_out < 0.18 + width:
        slab = palette[4]
        u = (t_out - 0.18) / slab
        v = s / slab + (0.5 if math.floor(u) % 2 == 1 else 0.0)
        tone = 0.84 + 0.24 * hash01(math.floor(u), math.floor(v), seed + 21)
        tone *= 0.88 + 0.2 * fractal_noise(x * 2.0, y * 2.0, seed + 22)
        rim = min(u % 1.0, 1.0 - u % 1.0, v % 1.0, 1.0 - v % 1.0) * slab
        tone *= 0.62 if rim < 0.013 else 1.0
        return palette[3] * tone, palette[3] * tone * 0.975, palette[3] * tone * 0.92, OFF_ROAD
    red, green, blue = grass(x, y, seed)
    return red, green, blue, OFF_ROAD


@njit(**KERNEL)
def paint_tiles(corners, texel_m, st_raster, raster, section, markings, repairs, manholes, palette, seed):
    """Paint tiles from road coordinates; return colour (n, texels, 3), ids and kerb distance (n, TILE, TILE).

    `corners` (n, 2) world metres of each tile's lower left; `st_raster` (rows, columns, 2) s and t, interpolated
    bilinearly, with `raster` = west, south, cell. Colours are square roots of albedo, 255 = 1.
    """
    n = corners.shape[0]
    color = np.zeros((n, TILE_TEXELS, 3), np.uint8)
    ids = np.zeros((n, TILE, TILE), np.uint8)
    edge = np.zeros((n, TILE, TILE), np.uint8)
    lane, left, right, walk_left, walk_right = section
    for k in range(n):
        for r in range(TILE):
            y = corners[k, 1] + (r + 0.5) * texel_m
            for c in range(TILE):
                x = corners[k, 0] + (c + 0.5) * texel_m
                s = bilinear(st_raster[:, :, 0], raster, x, y)
                t = bilinear(st_raster[:, :, 1], raster, x, y)
                out = max(t - left, right - t)
                if out >= 0.0:
                    width = walk_left if t > 0.0 else walk_right
                    red, green, blue, road_class = _walk(s, out, width, x, y, palette, seed)
                else:
                    red, green, blue = _asphalt(s, t, x, y, lane, repairs, manholes, palette, seed)
                    gutter = smooth_step(-0.5, 0.0, out) * (0.5 + 0.5 * value_noise(s * 1.3, t * 3.0, seed + 30))
                    dirt = 1.0 - 0.3 * gutter
                    red, green, blue = red * dirt, green * dirt, blue * dirt
                    road_class = ROAD
                    painted = _paint_at(s, t, markings)
                    if painted:
                        road_class = painted
                        wear = 0.65 * fractal_noise(x * 2.2, y * 2.2, seed + 31) + 0.35 * hash01(
                            int(x * 40), int(y * 40), seed + 34
                        )
                        cover = 0.95 * (1.0 - palette[6] * smooth_step(0.42, 0.72, wear))
                        red += (palette[5] - red) * cover
                        green += (palette[5] * 0.99 - green) * cover
                        blue += (palette[5] * 0.95 - blue) * cover
                ids[k, r, c] = road_class
                edge[k, r, c] = round(min(max(out / EDGE_STEP_M, -127.0), 127.0)) + 128
                texel = r * TILE + c
                color[k, texel, 0] = int(255.0 * math.sqrt(min(max(red, 0.0), 1.0)) + 0.5)
                color[k, texel, 1] = int(255.0 * math.sqrt(min(max(green, 0.0), 1.0)) + 0.5)
                color[k, texel, 2] = int(255.0 * math.sqrt(min(max(blue, 0.0), 1.0)) + 0.5)
        _shrink(color[k])
    return color, ids, edge


@njit(**KERNEL)
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


@njit(**KERNEL, forceinline=True)
def bilinear(values, raster, x, y):
    """Return a raster's value at a world point; samples lie at the cells' lower left corners, edges are clamped."""
    west, south, cell = raster
    u = min(max((x - west) / cell, 0.0), values.shape[1] - 1.001)
    v = min(max((y - south) / cell, 0.0), values.shape[0] - 1.001)
    c = int(u)
    r = int(v)
    u -= c
    v -= r
    low = values[r, c] * (1.0 - u) + values[r, c + 1] * u
    high = values[r + 1, c] * (1.0 - u) + values[r + 1, c + 1] * u
    return low * (1.0 - v) + high * v


@njit(**KERNEL, forceinline=True)
def texel_at(ground, x, y):
    """Return tile, row and column of the finest texel at a world point; tile -1 where nothing is baked."""
    u = (x - ground.tile_west_m) / ground.texel_m
    v = (y - ground.tile_south_m) / ground.texel_m
    c = math.floor(u)
    r = math.floor(v)
    if c < 0 or r < 0 or (c >> 7) >= ground.tile_index.shape[1] or (r >> 7) >= ground.tile_index.shape[0]:
        return -1, 0, 0
    return ground.tile_index[r >> 7, c >> 7], r & 127, c & 127


@njit(**KERNEL, forceinline=True)
def ground_class(ground, x, y):
    """Return the class id of the ground at a world point."""
    tile, r, c = texel_at(ground, x, y)
    if tile < 0:
        return OFF_ROAD
    road_class = int(ground.ids[tile, r, c])
    if 1 < ground.edge[tile, r, c] < 255:
        # Near a kerb the distance knows better than the texel on which side of its foot a point lies.
        behind = kerb_distance(ground, x, y) >= 0.0
        if behind and road_class not in (CURB, OFF_ROAD):
            return CURB
        if not behind and road_class == CURB:
            return ROAD
    return road_class


@njit(**KERNEL, forceinline=True)
def kerb_distance(ground, x, y):
    """Return metres behind the foot of the nearest kerb, clipped at 6 cm: bilinear, so exact across texels."""
    half = 0.5 * ground.texel_m
    tile, r, c = texel_at(ground, x - half, y - half)
    if tile < 0:
        return 127.0 * EDGE_STEP_M
    u = (x - half - ground.tile_west_m) / ground.texel_m
    v = (y - half - ground.tile_south_m) / ground.texel_m
    u -= math.floor(u)  # several times faster than % 1.0
    v -= math.floor(v)
    if r + 1 < TILE and c + 1 < TILE:
        edge = ground.edge[tile]
        low = edge[r, c] * (1.0 - u) + edge[r, c + 1] * u
        high = edge[r + 1, c] * (1.0 - u) + edge[r + 1, c + 1] * u
        return (low * (1.0 - v) + high * v - 128.0) * EDGE_STEP_M
    total = 0.0
    for dr in range(2):
        for dc in range(2):
            weight = (v if dr else 1.0 - v) * (u if dc else 1.0 - u)
            k, rr, cc = texel_at(ground, x + (dc - 0.5) * ground.texel_m, y + (dr - 0.5) * ground.texel_m)
            total += weight * (255.0 if k < 0 else float(ground.edge[k, rr, cc]))
    return (total - 128.0) * EDGE_STEP_M


@njit(**KERNEL, forceinline=True)
def ground_lift(ground, x, y):
    """Return the height above the base surface at a world point."""
    return RAISE_M * min(max(kerb_distance(ground, x, y) / CURB_FACE_M, 0.0), 1.0)


@njit(**KERNEL, forceinline=True)
def ground_albedo(ground, x, y, level):
    """Return the albedo at a world point from a mip level, bilinear within a tile."""
    tile, _r, _c = texel_at(ground, x, y)
    if tile < 0:
        return grass(x, y, ground.seed)
    side = TILE >> level
    # Position inside the tile in texels of this level
    u = (x - ground.tile_west_m) / (ground.texel_m * TILE)
    v = (y - ground.tile_south_m) / (ground.texel_m * TILE)
    u = (u - math.floor(u)) * side - 0.5
    v = (v - math.floor(v)) * side - 0.5
    u = min(max(u, 0.0), side - 1.001)
    v = min(max(v, 0.0), side - 1.001)
    ic = int(u)
    ir = int(v)
    u -= ic
    v -= ir
    i = LEVEL_BASE[level] + ir * side + ic
    w00 = (1.0 - u) * (1.0 - v)
    w01 = u * (1.0 - v)
    w10 = (1.0 - u) * v
    w11 = u * v
    color = ground.color[tile]
    red = color[i, 0] * w00 + color[i + 1, 0] * w01 + color[i + side, 0] * w10 + color[i + side + 1, 0] * w11
    green = color[i, 1] * w00 + color[i + 1, 1] * w01 + color[i + side, 1] * w10 + color[i + side + 1, 1] * w11
    blue = color[i, 2] * w00 + color[i + 1, 2] * w01 + color[i + side, 2] * w10 + color[i + side + 1, 2] * w11
    scale = 1.0 / (255.0 * 255.0)
    return red * red * scale, green * green * scale, blue * blue * scale
