"""Numba kernels that render one image, its class ids and its depth."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import bilinear, fractal_noise, hash01, smooth_step
from recon.demo_city.numba_options import KERNEL, POINT
from recon.demo_city.render.candidate_kernels import BLOCK_PX, candidates, in_cone, pixel_ray
from recon.demo_city.render.shade_kernels import ground_color, sky, solid_color
from recon.demo_city.render.shadow_kernels import shadow_cells
from recon.demo_city.scene.ground_kernels import OFF_ROAD, ground_class, texel_at
from recon.demo_city.scene.ray_kernels import GROUND, SKY, cast, solid_hit
from recon.demo_city.scene.solid_columns import CENTER, CLASS_ID, LEAVES, MATERIAL

BACKGROUND = 6
SHADOW_M = 60.0  # from the camera to the farthest moving solid that casts a shadow


@njit(**POINT, forceinline=True)
def _color(world, mirrored, count, camera, owner, face, tau, dx, dy, dz):
    ground, solids, casters, shadows, moving, light, heads = world
    ox, oy, oz = camera.position
    if owner == SKY:
        return sky(light, dx, dy, dz)
    if owner >= 0:
        return solid_color(ground, solids, moving, heads, owner, face, light, ox, oy, oz, dx, dy, dz, tau)
    pixel_rad = 1.0 / camera.focal_px
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
    """Return the colour that wet ground reflects at a point, and its share of the point's colour."""
    tile, _, _ = texel_at(ground, x, y)
    if tile < 0:
        return 0.0, 0.0, 0.0, 0.0
    puddle = smooth_step(0.48, 0.66, fractal_noise(x * 0.22, y * 0.22, ground.seed + 60))
    film = light.wet * (0.42 + 0.5 * puddle)
    if ground_class(ground, x, y) == OFF_ROAD:
        film *= 0.3
    # Rough asphalt tilts the reflection from grain to grain, mostly up and down, so lights become streaks.
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
    """Return the moving solids whose shadows are visible from a place."""
    casters = np.empty((solids.shape[0] - moving, solids.shape[1]))
    count = 0
    for i in range(moving, solids.shape[0]):
        if math.hypot(solids[i, CENTER] - ox, solids[i, CENTER + 1] - oy) < SHADOW_M:
            casters[count] = solids[i]
            count += 1
    return casters[:count]


@njit(**KERNEL)
def _shade(world, camera, owners, faces, depth, found, counts, mirrored, mirrored_counts):
    """Return the linear colour of every pixel; the ray of its middle hits `owners` at `depth`."""
    ground, solids = world[0], world[1]
    height, width = owners.shape
    ox, oy, oz = camera.position
    rgb = np.empty((height, width, 3), np.float32)
    for v in range(height):
        for u in range(width):
            owner = owners[v, u]
            # Four rays are needed only for pixels with an edge.
            inner = owner >= 0 and int(solids[owner, MATERIAL]) != LEAVES
            edge = False
            for k in range(4):
                nv = min(max(v + (k - 1 if k % 2 == 0 else 0), 0), height - 1)
                nu = min(max(u + (k - 2 if k % 2 == 1 else 0), 0), width - 1)
                edge = edge or owners[nv, nu] != owner
            red, green, blue = 0.0, 0.0, 0.0
            br, bc = v // BLOCK_PX, u // BLOCK_PX
            # Two rays suffice for a pattern on one solid; an edge takes four.
            rays = 4 if edge else 2 if inner else 1
            share = 1.0 / rays
            for k in range(rays):
                # A rotated grid: four different columns and rows, the first two across the pixel's middle
                du = (0.125, 0.875, 0.375, 0.625)[k]
                dv = (0.625, 0.375, 0.125, 0.875)[k]
                if rays == 1:
                    du = dv = 0.5
                dx, dy, dz = pixel_ray(camera, u + du, v + dv)
                hit, tau, face = owner, float(depth[v, u]), int(faces[v, u])
                if rays > 1:
                    tau = np.inf
                    if not edge:
                        tau, face = solid_hit(solids, owner, ox, oy, oz, dx, dy, dz)
                    if tau == np.inf:
                        hit, tau, face = cast(ground, solids, found[br, bc], counts[br, bc], ox, oy, oz, dx, dy, dz)
                r, g, b = _color(world, mirrored[br, bc], mirrored_counts[br, bc], camera, hit, face, tau, dx, dy, dz)
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
def render(ground, solids, moving, order, light, heads, camera):
    """Return linear light (H, W, 3) f32 RGB, class ids (H, W) u8 and distance (H, W) f32 (infinite where sky).

    The id and distance are those of the pixel's centre; colours are averaged over the pixel.
    """
    height, width = camera.height_px, camera.width_px
    owners = np.empty((height, width), np.int32)
    faces = np.empty((height, width), np.int8)
    depth = np.empty((height, width), np.float32)
    ids = np.empty((height, width), np.uint8)
    ox, oy, oz = camera.position
    # Solids outside the whole image are excluded first.
    dx, dy, dz = pixel_ray(camera, camera.cx, camera.cy)
    seen = np.empty(max(order.shape[0], 1), np.int32)
    corner = math.atan(
        math.hypot(max(camera.cx, width - camera.cx), max(camera.cy, height - camera.cy)) / camera.focal_px
    )
    order_seen = seen[: in_cone(solids, order, ox, oy, oz, dx, dy, dz, corner + 0.01, seen)]
    block_rows = (height + BLOCK_PX - 1) // BLOCK_PX
    block_columns = (width + BLOCK_PX - 1) // BLOCK_PX
    found = np.empty((block_rows, block_columns, max(order_seen.shape[0], 1)), np.int32)
    counts = np.empty((block_rows, block_columns), np.int32)
    wet = light.wet > 0.0
    mirrored = np.empty((block_rows, block_columns, max(order.shape[0], 1) if wet else 1), np.int32)
    mirrored_counts = np.zeros((block_rows, block_columns), np.int32)
    below = 2.0 * (bilinear(ground.base_z, ground.raster, ox, oy)) - oz
    candidates(solids, order_seen, camera, oz, 1.0, 0.0, found, counts)
    if wet:
        # Flat ground reflects what a camera below it would see; a wider cone allows for slopes.
        candidates(solids, order, camera, below, -1.0, 0.12, mirrored, mirrored_counts)
    for v in range(height):
        for u in range(width):
            dx, dy, dz = pixel_ray(camera, u + 0.5, v + 0.5)
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
    rgb = _shade(world, camera, owners, faces, depth, found, counts, mirrored, mirrored_counts)
    return rgb, ids, depth
