"""Numba kernels for the colour of sky, ground and solids along a ray, in linear light."""

from __future__ import annotations

import math

from numba import njit

from recon.demo_city.noise_kernels import bilinear, fractal_noise, smooth_step, value_noise
from recon.demo_city.numba_options import POINT
from recon.demo_city.render.material_kernels import surface
from recon.demo_city.render.shadow_kernels import may_be_shadowed, sunlit
from recon.demo_city.scene.ground_kernels import LEVELS, ground_albedo
from recon.demo_city.scene.solid_columns import HALF, KIND, LAMP, LEAVES, MATERIAL, TAPER, WALL


@njit(**POINT, forceinline=True)
def sky(light, dx, dy, dz):
    """Return the colour of the sky, or of distant woods if the ray is low."""
    up = max(dz, 0.0)
    blend = math.exp(-4.5 * up)
    red = light.zenith_rgb[0] + (light.horizon_rgb[0] - light.zenith_rgb[0]) * blend
    green = light.zenith_rgb[1] + (light.horizon_rgb[1] - light.zenith_rgb[1]) * blend
    blue = light.zenith_rgb[2] + (light.horizon_rgb[2] - light.zenith_rgb[2]) * blend
    bearing = math.atan2(dy, dx)
    woods = 0.012 + 0.05 * value_noise(bearing * 5.0 + 40.0, 0.5, light.seed)
    woods += 0.012 * value_noise(bearing * 90.0 + 400.0, 0.5, light.seed + 1)
    if dz < woods:
        tone = 0.8 + 0.4 * value_noise(bearing * 140.0 + 900.0, dz * 160.0, light.seed + 2)
        return (
            light.ambient_rgb[0] * 0.45 * tone,
            light.ambient_rgb[1] * 0.55 * tone,
            light.ambient_rgb[2] * 0.40 * tone,
        )
    if dz > 0.03:
        u = dx / (dz + 0.12)
        v = dy / (dz + 0.12)
        cover = fractal_noise(u * 1.3 + 11.0, v * 1.3, light.seed + 3)
        cover = smooth_step(0.72 - 0.35 * light.cloud, 0.95 - 0.25 * light.cloud, cover) * smooth_step(0.03, 0.15, dz)
        white = 1.07 - 0.2 * cover
        red += (light.cloud_rgb[0] * white - red) * cover
        green += (light.cloud_rgb[1] * white - green) * cover
        blue += (light.cloud_rgb[2] * white - blue) * cover
    if light.sun[2] > 0.99:
        return red, green, blue
    glow = 0.16 * max(dx * light.sun[0] + dy * light.sun[1] + dz * light.sun[2], 0.0) ** 24
    return red + light.sun_rgb[0] * glow, green + light.sun_rgb[1] * glow, blue + light.sun_rgb[2] * glow


@njit(**POINT, inline="always")
def _haze(light, tau, red, green, blue):
    clear = math.exp(-tau / light.haze_m)
    return (
        light.horizon_rgb[0] * 0.85 * (1.0 - clear) + red * clear,
        light.horizon_rgb[1] * 0.85 * (1.0 - clear) + green * clear,
        light.horizon_rgb[2] * 0.85 * (1.0 - clear) + blue * clear,
    )


@njit(**POINT, forceinline=True)
def _shade_at(ground, x, y):
    west, south, cell = ground.shade_raster
    u = (x - west) / cell
    v = (y - south) / cell
    if u < 0.0 or v < 0.0 or u >= ground.shade.shape[1] - 1.0 or v >= ground.shade.shape[0] - 1.0:
        return 1.0
    c = int(u)
    r = int(v)
    u -= c
    v -= r
    low = ground.shade[r, c] * (1.0 - u) + ground.shade[r, c + 1] * u
    high = ground.shade[r + 1, c] * (1.0 - u) + ground.shade[r + 1, c + 1] * u
    return (low * (1.0 - v) + high * v) / 255.0


@njit(**POINT, forceinline=True)
def _head_light(heads, x, y, z):
    """Return the light of vehicles' head lamps at a point; a row of `heads` is x, y, z, direction x, y, strength."""
    total = 0.0
    for i in range(heads.shape[0]):
        vx = x - heads[i, 0]
        vy = y - heads[i, 1]
        along = vx * heads[i, 3] + vy * heads[i, 4]
        if along < 0.5 or along > 70.0:
            continue
        side = abs(vx * heads[i, 4] - vy * heads[i, 3]) / along
        rise = (z - heads[i, 2]) / along
        beam = math.exp(-((side / 0.38) ** 2)) * (0.06 + 0.94 * smooth_step(0.03, -0.03, rise))
        total += heads[i, 5] * beam * smooth_step(0.5, 5.0, along) / (1.0 + (along / 11.0) ** 2)
    return total


@njit(**POINT, forceinline=True)
def ground_color(ground, casters, shadows, light, heads, ox, oy, oz, dx, dy, dz, tau, pixel_rad):
    """Return the colour of the ground along a ray whose pixel spans `pixel_rad`, filtered over its footprint.

    `casters` are the solids whose shadow is not baked, `shadows` the cells where it may fall.
    """
    x = ox + tau * dx
    y = oy + tau * dy
    z = oz + tau * dz
    wide = tau * pixel_rad
    level_length = math.sqrt(dx * dx + dy * dy)
    deep = min(wide / max(-dz, 0.01), 12.0)
    taps = min(max(math.ceil(deep / max(wide, ground.texel_m)), 1), 8)
    size = max(wide, deep / taps) / ground.texel_m
    level = min(max(int(math.log2(max(size, 1.0)) + 0.3), 0), LEVELS - 1)
    ux = dx / max(level_length, 1e-9)
    uy = dy / max(level_length, 1e-9)
    red = 0.0
    green = 0.0
    blue = 0.0
    shade = 0.0
    soft = light.soft
    lamp = bilinear(ground.glow, ground.raster, x, y) if light.lamps_on > 0.0 else 0.0
    head = _head_light(heads, x, y, z)
    add_red = lamp * light.lamp_rgb[0] + head
    add_green = lamp * light.lamp_rgb[1] + head * 0.93
    add_blue = lamp * light.lamp_rgb[2] + head * 0.8
    for k in range(taps):
        off = ((k + 0.5) / taps - 0.5) * deep
        r, g, b = ground_albedo(ground, x + off * ux, y + off * uy, level)
        lit = _shade_at(ground, x + off * ux, y + off * uy)
        under = 1.0 - soft + soft * lit
        red += r * (lit * light.sun_rgb[0] * light.sun[2] + under * light.ambient_rgb[0] + add_red)
        green += g * (lit * light.sun_rgb[1] * light.sun[2] + under * light.ambient_rgb[1] + add_green)
        blue += b * (lit * light.sun_rgb[2] * light.sun[2] + under * light.ambient_rgb[2] + add_blue)
        shade += lit
    scale = 1.0 / taps
    if shade > 0.0 and casters.shape[0] > 0 and may_be_shadowed(shadows, x, y):
        lit = sunlit(casters, x, y, z + 0.01, light.sun[0], light.sun[1], light.sun[2])
        if lit < 1.0:
            mean = shade * scale
            # The baked sum cannot be split; the sun's mean share of it is precise enough for an edge pixel.
            for_sun = mean * light.sun_rgb[1] * light.sun[2]
            rest = (1.0 - soft + soft * lit) * light.ambient_rgb[1] + add_green
            scale *= (for_sun * lit + rest) / (for_sun + light.ambient_rgb[1] + add_green)
    if light.wet > 0.0:
        scale *= 1.0 - 0.45 * light.wet
    return _haze(light, tau, red * scale, green * scale, blue * scale)


@njit(**POINT, forceinline=True)
def _normal(solids, i, face, lx, ly, lz):
    """Return the unit outward normal in the world of a point (in the solid's frame) on a face."""
    kind = int(solids[i, KIND])
    nx, ny, nz = lx, ly, lz
    if kind == 0:
        sign = 1.0 if face % 2 == 0 else -1.0
        nx = sign if face < 2 else 0.0
        ny = sign if 2 <= face < 4 else 0.0
        nz = sign if face >= 4 else 0.0
        if face < 4:
            nz = 0.5 * solids[i, TAPER + (2 if face >= 2 else face)]
    elif kind == 2:
        nz = 0.0
        if face == 7:
            nx, ny, nz = 0.0, 0.0, math.copysign(1.0, lz)
    wx = solids[i, 0] * nx + solids[i, 4] * ny + solids[i, 8] * nz
    wy = solids[i, 1] * nx + solids[i, 5] * ny + solids[i, 9] * nz
    wz = solids[i, 2] * nx + solids[i, 6] * ny + solids[i, 10] * nz
    size = 1.0 / math.sqrt(wx * wx + wy * wy + wz * wz)
    return wx * size, wy * size, wz * size


@njit(**POINT, forceinline=True)
def solid_color(ground, solids, moving, heads, i, face, light, ox, oy, oz, dx, dy, dz, tau):
    """Return the colour of a solid where a ray hits it."""
    x = ox + tau * dx
    y = oy + tau * dy
    z = oz + tau * dz
    lx = solids[i, 0] * x + solids[i, 1] * y + solids[i, 2] * z + solids[i, 3]
    ly = solids[i, 4] * x + solids[i, 5] * y + solids[i, 6] * z + solids[i, 7]
    lz = solids[i, 8] * x + solids[i, 9] * y + solids[i, 10] * z + solids[i, 11]
    half = (solids[i, HALF], solids[i, HALF + 1], solids[i, HALF + 2])
    nx, ny, nz = _normal(solids, i, face, lx, ly, lz)
    material = int(solids[i, MATERIAL])
    red, green, blue, gloss, own, hidden, bulge, lit = surface(solids, moving, i, face, light, half, lx, ly, lz)
    if bulge != 0.0:
        nz += bulge
        size = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
        nx, ny, nz = nx * size, ny * size, nz * size
    facing = nx * light.sun[0] + ny * light.sun[1] + nz * light.sun[2]
    if material == LEAVES:
        facing = 0.25 + 0.75 * facing + lit
    sun = max(facing, 0.0)
    around = (0.62 + 0.38 * nz) * hidden
    lamp = 0.0
    head = 0.0
    if light.lamps_on > 0.0:
        base = bilinear(ground.base_z, ground.raster, x, y)
        lamp = bilinear(ground.glow, ground.raster, x, y) * (
            0.75 if z - base < 5.5 else 0.75 * math.exp(base + 5.5 - z)
        )
        head = _head_light(heads, x, y, z) * (0.35 + 0.65 * abs(nx * dx + ny * dy + nz * dz))
    red *= sun * light.sun_rgb[0] + around * light.ambient_rgb[0] + lamp * light.lamp_rgb[0] + head
    green *= sun * light.sun_rgb[1] + around * light.ambient_rgb[1] + lamp * light.lamp_rgb[1] + head * 0.93
    blue *= sun * light.sun_rgb[2] + around * light.ambient_rgb[2] + lamp * light.lamp_rgb[2] + head * 0.8
    if gloss > 0.0:
        cosine = -(nx * dx + ny * dy + nz * dz)
        mirror = gloss + (1.0 - gloss) * (1.0 - min(max(cosine, 0.0), 1.0)) ** 5
        r, g, b = sky(light, dx + 2.0 * cosine * nx, dy + 2.0 * cosine * ny, dz + 2.0 * cosine * nz)
        red += (r - red) * mirror * 0.8
        green += (g - green) * mirror * 0.8
        blue += (b - blue) * mirror * 0.8
    if material == LAMP:
        red += min(20.0 * light.lamp_rgb[0], 4.0)
        green += min(20.0 * light.lamp_rgb[1], 3.6)
        blue += min(20.0 * light.lamp_rgb[2], 3.0)
    elif own > 0.0:
        red, green, blue = red + own, green + own * 0.74, blue + own * (0.42 if material == WALL else 0.62)
    elif own < 0.0:
        red = red - own
    return _haze(light, tau, red, green, blue)
