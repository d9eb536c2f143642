"""Numba kernels for the surface of solids: walls, cars, leaves, cloth, bark."""

from __future__ import annotations

import math

from numba import njit

from recon.demo_city.noise_kernels import fractal_noise, hash01, smooth_step, value_noise
from recon.demo_city.numba_options import POINT
from recon.demo_city.scene.solid_columns import (
    BARK,
    BOXBODY,
    CAR_BODY,
    CAR_CABIN,
    CLOTH,
    COLOR,
    FENCE,
    LEAVES,
    MATERIAL,
    ROOF,
    SEED,
    TYRE,
    WALL,
)


@njit(**POINT)
def _wall(u, z, length, seed, lit, red, green, blue):
    """Return albedo, gloss and emitted light of a wall at `u` metres along it and `z` metres above its foot."""
    storey = math.floor(z / 3.1)
    bay = 2.2 + 0.9 * hash01(seed, 1, 5)
    count = max(math.floor(length / bay), 1)
    column = math.floor(u / length * count)
    a = (u / length * count) % 1.0 - 0.5
    b = (z % 3.1) - 1.55
    wide = (0.22 + 0.12 * hash01(seed, 2, 5)) * (1.0 if storey > 0 else 1.15)
    tall = 0.62 + 0.2 * hash01(seed, 3, 5)
    door = storey == 0 and hash01(column, seed, 9) < 0.25
    if storey < 0:
        return red * 0.55, green * 0.55, blue * 0.55, 0.0, 0.0
    if door and abs(a) < 0.24 and b < 0.7:
        tone = 0.3 + 0.5 * hash01(column, seed, 10)
        return 0.25 * tone, 0.16 * tone, 0.10 * tone, 0.05, 0.0
    if abs(a) < wide and abs(b) < tall:
        edge = min((wide - abs(a)) * bay, tall - abs(b))
        if edge < 0.07 or abs(a) * bay < 0.035:
            return 0.62, 0.61, 0.58, 0.0, 0.0
        tone = 0.03 + 0.05 * hash01(column, storey, seed)
        glow = 0.25 + 0.6 * hash01(storey, column, seed + 2) if hash01(column, storey, seed + 77) < lit else 0.0
        return tone, tone * 1.1, tone * 1.25, 0.30, glow * (0.7 + 0.5 * b / tall)
    stain = 0.82 + 0.26 * fractal_noise(u * 0.5, z * 0.5, seed)
    stain *= 0.93 + 0.14 * value_noise(u * 4.0, z * 13.0, seed + 3)
    stain *= 0.75 if z < 0.6 else 1.0
    if abs(z % 3.1 - 0.04) < 0.08:
        stain *= 1.18
    return red * stain, green * stain, blue * stain, 0.0, 0.0


@njit(**POINT)
def _car(material, face, ax, ay, az, half, red, green, blue):
    """Return albedo, gloss and emitted light (negative = red) of a car at a point in metres from its middle."""
    if material == CAR_CABIN:
        if face == 4:
            return red, green, blue, 0.10, 0.0
        pillar = abs(abs(ax) - half[0] * 0.06) < 0.05 if face >= 2 else abs(ay) > half[1] * 0.86
        if pillar or az > half[2] * 0.86:
            return red, green, blue, 0.10, 0.0
        return 0.015, 0.018, 0.02, 0.28, 0.0
    low = (az + half[2]) / (2.0 * half[2])
    if low < 0.14:
        return 0.03, 0.03, 0.03, 0.0, 0.0
    if face < 2 and abs(ay) > half[1] * 0.55 and 0.5 < low < 0.78:
        if face == 0:
            return 0.75, 0.76, 0.74, 0.3, 3.0
        return 0.45, 0.02, 0.02, 0.2, -1.0
    if face < 2 and abs(ay) < 0.26 and 0.3 < low < 0.46:
        return 0.7, 0.7, 0.66, 0.0, 0.0
    if face == 0 and abs(ay) < half[1] * 0.5 and 0.5 < low < 0.72:
        return 0.02, 0.02, 0.02, 0.1, 0.0
    if 2 <= face < 4:
        for wheel in (-0.58, 0.62):
            reach = math.hypot(ax - wheel * half[0], az + half[2] - 0.1)
            if reach < 0.40:
                return 0.012, 0.012, 0.012, 0.0, 0.0
        if abs(ax - 0.02 * half[0]) < 0.012 or abs(ax + 0.5 * half[0]) < 0.012:
            return red * 0.4, green * 0.4, blue * 0.4, 0.0, 0.0
    return red, green, blue, 0.10, 0.0


@njit(**POINT, forceinline=True)
def surface(solids, moving, i, face, light, half, lx, ly, lz):
    """Return albedo, gloss, emitted light, visible share of the sky, bulge of sheet metal, mottling of leaves."""
    ax = lx * half[0]
    ay = ly * half[1]
    az = lz * half[2]
    red, green, blue = solids[i, COLOR], solids[i, COLOR + 1], solids[i, COLOR + 2]
    material = int(solids[i, MATERIAL])
    seed = int(solids[i, SEED])
    gloss = 0.0
    own = 0.0
    bulge = 0.0
    lit = 0.0
    hidden = 1.0  # visible share of the sky
    if material == WALL:
        length = 2.0 * (half[1] if face < 2 else half[0])
        u = (ay + half[1]) if face < 2 else (ax + half[0])
        # The lowest metre of a wall lies below the ground.
        red, green, blue, gloss, own = _wall(u, az + half[2] - 2.0, length, seed, light.windows, red, green, blue)
        hidden = 0.65 + 0.35 * smooth_step(-half[2], half[2], az)
    elif material == ROOF:
        tone = 0.8 + 0.3 * value_noise(ax * 3.0, ay * 3.0, seed)
        tone *= 0.8 if ((az * 3.0) % 1.0) < 0.2 else 1.0
        red, green, blue = red * tone, green * tone, blue * tone
    elif material in (CAR_BODY, CAR_CABIN):
        red, green, blue, gloss, own = _car(material, face, ax, ay, az, half, red, green, blue)
        hidden = 0.5 + 0.5 * smooth_step(-half[2], 0.0, az) if material == CAR_BODY else 1.0
        if i < moving or light.lamps_on == 0.0:
            own = 0.0
        if 2 <= face < 4 and material == CAR_BODY:
            bulge = 0.4 * lz  # sheet metal bulges
    elif material == TYRE:
        if face == 7 and lx * lx + ly * ly < 0.36:
            spoke = 0.5 + 0.5 * math.cos(5.0 * math.atan2(ly, lx))
            red = green = blue = 0.12 + 0.25 * spoke
    elif material == CLOTH:
        tone = 0.75 + 0.5 * value_noise(ax * 14.0 + ay * 9.0, az * 12.0, seed)
        red, green, blue = red * tone, green * tone, blue * tone
    elif material == FENCE:
        plank = (ax if abs(ax) > abs(ay) else ay) * 7.0
        tone = 0.75 + 0.35 * hash01(math.floor(plank), 5, seed) + 0.2 * (value_noise(ax * 9.0, az * 9.0, seed) - 0.5)
        red, green, blue = red * tone, green * tone, blue * tone
    elif material == BOXBODY:
        tone = 0.86 if abs((ax * 1.7) % 1.0 - 0.5) > 0.46 else 1.0
        red, green, blue = red * tone, green * tone, blue * tone
    elif material == LEAVES:
        # Two slanted projections: a single one would draw streaks along its axis.
        clump = fractal_noise((ax + 0.5 * ay) * 2.2, az * 2.2, seed + 7)
        clump = 0.5 * clump + 0.5 * fractal_noise((ay - 0.5 * ax) * 2.2, az * 2.2 + 9.0, seed + 7)
        fine = 0.5 * value_noise((ax - ay) * 11.0, az * 11.0, seed + 11)
        fine += 0.5 * value_noise((ax + ay) * 11.0, az * 11.0, seed + 12)
        clump = min(max(0.5 + 1.6 * (clump - 0.5), 0.0), 1.0)
        tone = (0.35 + 0.8 * clump) * (0.7 + 0.6 * fine)
        red, green, blue = red * tone, green * tone, blue * tone
        lit = 0.6 * (clump - 0.5)
        hidden = 0.55 + 0.45 * smooth_step(-1.0, 0.6, lz)
    elif material == BARK:
        tone = 0.7 + 0.6 * value_noise(math.atan2(ly, lx) * 6.0 + 30.0, az * 2.0, seed)
        red, green, blue = red * tone, green * tone, blue * tone
    return red, green, blue, gloss, own, hidden, bulge, lit
