"""Numba kernels that render one image, its class ids and its depth, and that sweep the LiDAR."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear, fractal_noise, hash01, smooth_step
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.render.shade_kernels import ground_color, sky, solid_color
from recon.demo_city.scene.ground_kernels import OFF_ROAD, ground_albedo, ground_class, texel_at
from recon.demo_city.scene.ray_kernels import GROUND, SKY, cast, shadow_cells, solid_hit
from recon.demo_city.scene.solid_columns import CENTER, CLASS_ID, COLOR, LEAVES, MATERIAL, RADIUS

BLOCK_PX = 8
WIDE_BLOCKS = 8  # blocks a side of a wide block, whose solids are looked for first
BACKGROUND = 6
SHADOW_M = 60.0  # from the camera to what still throws a moving shadow


@njit(**POINT, inline="always")
def _ray(view, u, v):
    """Return the unit world direction of a pixel position."""
    x = (u - view.cx) / view.focal_px
    y = (v - view.cy) / view.focal_px
    size = 1.0 / math.sqrt(x * x + y * y + 1.0)
    r = view.rotation
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
def _candidates(solids, order, view, oz, sign, slope, found, counts):
    """Fill `found` and `counts` with the solids, in the given order, that the rays of each block of pixels may meet.

    Rays start at the height `oz`; with `sign` -1 those that look down are turned up, and `slope` radians off.
    """
    ox, oy, _ = view.position
    block_rows, block_columns = counts.shape
    narrow = (0.75 * BLOCK_PX + 1.0) / view.focal_px
    broad = narrow + slope + (0.75 * BLOCK_PX * WIDE_BLOCKS + 1.0) / view.focal_px
    wide = np.empty(max(order.shape[0], 1), np.int32)
    for top in range(0, block_rows, WIDE_BLOCKS):
        for left in range(0, block_columns, WIDE_BLOCKS):
            dx, dy, dz = _ray(view, (left + WIDE_BLOCKS / 2) * BLOCK_PX, (top + WIDE_BLOCKS / 2) * BLOCK_PX)
            near = wide[: in_cone(solids, order, ox, oy, oz, dx, dy, sign * dz, broad, wide)]
            for br in range(top, min(top + WIDE_BLOCKS, block_rows)):
                for bc in range(left, min(left + WIDE_BLOCKS, block_columns)):
                    dx, dy, dz = _ray(view, (bc + 0.5) * BLOCK_PX, (br + 0.5) * BLOCK_PX)
                    counts[br, bc] = 0
                    if sign > 0.0 or dz < narrow:
                        counts[br, bc] = in_cone(
                            solids, near, ox, oy, oz, dx, dy, sign * dz, narrow + slope, found[br, bc]
                        )


@njit(**POINT, forceinline=True)
def _color(world, mirrored, count, view, owner, face, tau, dx, dy, dz):
    ground, solids, casters, shadows, moving, light, heads = world
    ox, oy, oz = view.position
    if owner == SKY:
        return sky(light, dx, dy, dz)
    if owner >= 0:
        return solid_color(ground, solids, moving, heads, owner, face, light, ox, oy, oz, dx, dy, dz, tau)
    pixel_rad = 1.0 / view.focal_px
    red, green, blue = ground_color(ground, casters, shadows, light, heads, ox, oy, oz, dx, dy, dz, tau, pixel_rad)
    if light.wet > 0.0:
        x, y, z = ox + tau * dx, oy + tau * dy, oz + tau * dz
        r, g, b, share = _reflection(
            ground, solids, moving, light, heads, mirrored, count, x, y, z, dx, dy, dz, tau * pixel_rad
        )
        red += (r - red) * share
        green += (g - green) * share
        blue += (b - blue) * share
    return red, green, blue


@njit(**POINT, forceinline=True)
def _reflection(ground, solids, moving, light, heads, mirrored, count, x, y, z, dx, dy, dz, wide):
    """Return what wet ground mirrors at a point, and its share of the point's colour."""
    tile, _, _ = texel_at(ground, x, y)
    if tile < 0:
        return 0.0, 0.0, 0.0, 0.0
    puddle = smooth_step(0.48, 0.66, fractal_noise(x * 0.22, y * 0.22, ground.seed + 60))
    film = light.wet * (0.42 + 0.5 * puddle)
    if ground_class(ground, x, y) == OFF_ROAD:
        film *= 0.3
    # Rough asphalt tilts the mirror from grain to grain, mostly up and down: lights turn to streaks.
    rough = 0.012 + 0.16 * (1.0 - puddle)
    grain = max(wide, 0.012)
    tilt = hash01(math.floor(x / grain), math.floor(y / grain), ground.seed + 61) - 0.5
    up = max(-dz + rough * tilt, 0.012)
    share = film * (0.02 + 0.98 * (1.0 - min(-dz, 1.0)) ** 5)
    size = 1.0 / math.sqrt(dx * dx + dy * dy + up * up)
    ex, ey, ez = dx * size, dy * size, up * size
    best, owner, face = np.inf, -2, -1
    for k in range(count):
        hit, side = solid_hit(solids, mirrored[k], x, y, z + 0.02, ex, ey, ez)
        if hit < best:
            best, owner, face = hit, mirrored[k], side
    if owner < 0:
        r, g, b = sky(light, ex, ey, ez)
    else:
        r, g, b = solid_color(ground, solids, moving, heads, owner, face, light, x, y, z, ex, ey, ez, best)
    return r, g, b, share


@njit(**KERNEL)
def _casters(solids, moving, ox, oy):
    """Return the moving solids whose shadows can be made out from a place."""
    casters = np.empty((solids.shape[0] - moving, solids.shape[1]))
    count = 0
    for i in range(moving, solids.shape[0]):
        if math.hypot(solids[i, CENTER] - ox, solids[i, CENTER + 1] - oy) < SHADOW_M:
            casters[count] = solids[i]
            count += 1
    return casters[:count]


@njit(**KERNEL)
def _shade(world, view, owners, faces, depth, found, counts, mirrored, mirrored_counts):
    """Return the linear colour of every pixel, whose middle meets `owners` at `depth`."""
    ground, solids = world[0], world[1]
    height, width = owners.shape
    ox, oy, oz = view.position
    rgb = np.empty((height, width, 3), np.float32)
    for v in range(height):
        for u in range(width):
            owner = owners[v, u]
            # Only pixels that hold an edge or a fine pattern are worth four rays.
            inner = owner >= 0 and int(solids[owner, MATERIAL]) != LEAVES
            edge = False
            for k in range(4):
                nv = min(max(v + (k - 1 if k % 2 == 0 else 0), 0), height - 1)
                nu = min(max(u + (k - 2 if k % 2 == 1 else 0), 0), width - 1)
                edge = edge or owners[nv, nu] != owner
            red, green, blue = 0.0, 0.0, 0.0
            br, bc = v // BLOCK_PX, u // BLOCK_PX
            # Two rays do for a pattern, whose surface is known; an edge takes four.
            rays = 4 if edge else 2 if inner else 1
            share = 1.0 / rays
            for k in range(rays):
                # A rotated grid: four different columns and rows, the first two across the pixel's middle
                du = (0.125, 0.875, 0.375, 0.625)[k]
                dv = (0.625, 0.375, 0.125, 0.875)[k]
                if rays == 1:
                    du = dv = 0.5
                dx, dy, dz = _ray(view, u + du, v + dv)
                hit, tau, face = owner, float(depth[v, u]), int(faces[v, u])
                if rays > 1:
                    tau = np.inf
                    if not edge:
                        tau, face = solid_hit(solids, owner, ox, oy, oz, dx, dy, dz)
                    if tau == np.inf:
                        hit, tau, face = cast(ground, solids, found[br, bc], counts[br, bc], ox, oy, oz, dx, dy, dz)
                r, g, b = _color(world, mirrored[br, bc], mirrored_counts[br, bc], view, hit, face, tau, dx, dy, dz)
                if rays > 1:
                    r, g, b = min(r, 4.0), min(g, 4.0), min(b, 4.0)
                red += share * r
                green += share * g
                blue += share * b
            rgb[v, u, 0] = red
            rgb[v, u, 1] = green
            rgb[v, u, 2] = blue
    return rgb


@njit(**KERNEL, nogil=True)
def render(ground, solids, moving, order, light, heads, view):
    """Return linear light (H, W, 3) f32 RGB, class ids (H, W) u8 and distance (H, W) f32 (infinite where sky).

    The id and distance are those of the pixel's centre; colours are averaged over the pixel.
    """
    height, width = view.height_px, view.width_px
    owners = np.empty((height, width), np.int32)
    faces = np.empty((height, width), np.int8)
    depth = np.empty((height, width), np.float32)
    ids = np.empty((height, width), np.uint8)
    ox, oy, oz = view.position
    # What the whole image cannot see, no block of it needs to look at.
    dx, dy, dz = _ray(view, view.cx, view.cy)
    seen = np.empty(max(order.shape[0], 1), np.int32)
    corner = math.atan(math.hypot(max(view.cx, width - view.cx), max(view.cy, height - view.cy)) / view.focal_px)
    order_seen = seen[: in_cone(solids, order, ox, oy, oz, dx, dy, dz, corner + 0.01, seen)]
    block_rows = (height + BLOCK_PX - 1) // BLOCK_PX
    block_columns = (width + BLOCK_PX - 1) // BLOCK_PX
    found = np.empty((block_rows, block_columns, max(order_seen.shape[0], 1)), np.int32)
    counts = np.empty((block_rows, block_columns), np.int32)
    wet = light.wet > 0.0
    mirrored = np.empty((block_rows, block_columns, max(order.shape[0], 1) if wet else 1), np.int32)
    mirrored_counts = np.zeros((block_rows, block_columns), np.int32)
    below = 2.0 * (bilinear(ground.base_z, ground.raster, ox, oy)) - oz
    _candidates(solids, order_seen, view, oz, 1.0, 0.0, found, counts)
    if wet:
        # What flat ground mirrors, a camera below it would see; a wider cone allows for slopes.
        _candidates(solids, order, view, below, -1.0, 0.12, mirrored, mirrored_counts)
    for v in range(height):
        for u in range(width):
            dx, dy, dz = _ray(view, u + 0.5, v + 0.5)
            br, bc = v // BLOCK_PX, u // BLOCK_PX
            owner, tau, face = cast(ground, solids, found[br, bc], counts[br, bc], ox, oy, oz, dx, dy, dz)
            owners[v, u] = owner
            faces[v, u] = face
            depth[v, u] = tau
            if owner == GROUND:
                ids[v, u] = ground_class(ground, ox + tau * dx, oy + tau * dy)
            elif owner == SKY:
                ids[v, u] = BACKGROUND
            else:
                ids[v, u] = int(solids[owner, CLASS_ID])
    casters = _casters(solids, moving, ox, oy)
    shadows = shadow_cells(ground, casters, ox, oy, light.sun[0], light.sun[1], light.sun[2])
    world = (ground, solids, casters, shadows, moving, light, heads)
    rgb = _shade(world, view, owners, faces, depth, found, counts, mirrored, mirrored_counts)
    return rgb, ids, depth


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
