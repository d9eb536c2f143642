"""Numba kernels that read the baked ground: class, kerb, albedo."""

from __future__ import annotations

import math

from numba import njit

from recon.demo_city.noise_kernels import fractal_noise, smooth_step, value_noise
from recon.demo_city.numba_options import POINT

TILE = 128  # texels a side
LEVELS = 6  # mip levels, the last with 4 texels a side
LEVEL_BASE = (0, 16384, 20480, 21504, 21760, 21824)  # texels of a tile's finer levels, summed
TILE_TEXELS = 21840
EDGE_STEP_M = 0.0005  # of the u8 signed distance to the foot of the nearest kerb, 128 = at it, more = behind it
RAISE_M = 0.12  # kerbs, sidewalks and all land beyond them
CURB_FACE_M = 0.03  # depth of the kerb's inclined face
# Class ids, equal to RoadClass: numba cannot read an IntEnum's members as constants
ROAD, CURB, OFF_ROAD = 1, 4, 5


@njit(**POINT)
def grass(x, y, seed):
    """Return the albedo of grass at a world point."""
    broad = fractal_noise(x * 0.35, y * 0.35, seed + 40)
    fine = value_noise(x * 6.0, y * 6.0, seed + 43)
    light = 0.62 + 0.5 * broad + 0.35 * (fine - 0.5)
    dry = smooth_step(0.5, 0.8, value_noise(x * 0.12, y * 0.12, seed + 44))
    return (0.085 + 0.09 * dry) * light, (0.125 + 0.03 * dry) * light, 0.045 * light


@njit(**POINT, forceinline=True)
def texel_at(ground, x, y):
    """Return tile, row and column of the finest texel at a world point; tile -1 where nothing is baked."""
    u = (x - ground.tile_west_m) / ground.texel_m
    v = (y - ground.tile_south_m) / ground.texel_m
    c = math.floor(u)
    r = math.floor(v)
    if c < 0 or r < 0 or (c >> 7) >= ground.tile_index.shape[1] or (r >> 7) >= ground.tile_index.shape[0]:
        return -1, 0, 0
    return ground.tile_index[r >> 7, c >> 7], r & 127, c & 127


@njit(**POINT, forceinline=True)
def ground_class(ground, x, y):
    """Return the class id of the ground at a world point."""
    tile, r, c = texel_at(ground, x, y)
    if tile < 0:
        return OFF_ROAD
    road_class = int(ground.ids[tile, r, c])
    if 1 < ground.edge[tile, r, c] < 255:
        # Near a kerb the distance to its foot is more precise than the class of the texel.
        behind = kerb_distance(ground, x, y) >= 0.0
        if behind and road_class not in (CURB, OFF_ROAD):
            return CURB
        if not behind and road_class == CURB:
            return ROAD
    return road_class


@njit(**POINT, forceinline=True)
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


@njit(**POINT, forceinline=True)
def ground_lift(ground, x, y):
    """Return the height above the base surface at a world point."""
    return RAISE_M * min(max(kerb_distance(ground, x, y) / CURB_FACE_M, 0.0), 1.0)


@njit(**POINT, forceinline=True)
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
