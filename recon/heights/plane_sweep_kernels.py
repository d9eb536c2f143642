"""Numba kernel of the plane sweep: the light of one image at each place for a range of ground heights."""

from __future__ import annotations

from numba import njit

from recon.classes import RoadClass


@njit(cache=True, inline="always")
def _pixel(cx, cy, cz, m, k, dz):
    """Return u, v and depth of a camera point that is lifted by dz along the world's vertical."""
    depth = cz + m[2, 2] * dz
    v = k[1, 1] * (cy + m[1, 2] * dz) / depth + k[1, 2]
    u = k[0, 0] * (cx + m[0, 2] * dz) / depth + k[0, 1] * (cy + m[1, 2] * dz) / depth + k[0, 2]
    return u, v, depth


@njit(cache=True)
def sweep(x, y, z, camera_from_world, k, labels, drivable, light, near_m, far_m, lifts_m, road, weight, total, square):
    """Add one image's light (H, W) at the places x, y, z (M,) lifted by `lifts_m` (K,), lowest first.

    `weight`, `total` and `square` (M, K) accumulate w, w c and w c^2 with w = 1 / distance, because nearer views are
    sharper. `road` (M,) accumulates w where the place itself is `drivable` (256,). An image that does not show a place
    at all heights is skipped there, because costs must be compared over the same images.
    """
    height, width = labels.shape
    m = camera_from_world
    levels = lifts_m.shape[0]
    for i in range(x.shape[0]):
        cx = m[0, 0] * x[i] + m[0, 1] * y[i] + m[0, 2] * z[i] + m[0, 3]
        cy = m[1, 0] * x[i] + m[1, 1] * y[i] + m[1, 2] * z[i] + m[1, 3]
        cz = m[2, 0] * x[i] + m[2, 1] * y[i] + m[2, 2] * z[i] + m[2, 3]
        distance = (cx * cx + cy * cy + cz * cz) ** 0.5
        if cz < 0.5 or distance < near_m or distance > far_m:
            continue
        valid = True
        for j in (0, levels - 1):
            u, v, depth = _pixel(cx, cy, cz, m, k, lifts_m[j])
            outside = depth < 0.2 or u < 1.0 or v < 1.0 or u >= width - 1.0 or v >= height - 1.0
            if outside or labels[int(v), int(u)] == RoadClass.UNKNOWN:
                valid = False
        if not valid:
            continue
        w = 1.0 / distance
        # The image is convex: what lies between two of its pixels is inside, too.
        u, v, depth = _pixel(cx, cy, cz, m, k, 0.0)
        road[i] += w * drivable[labels[int(v), int(u)]]
        for j in range(levels):
            u, v, depth = _pixel(cx, cy, cz, m, k, lifts_m[j])
            left, top = int(u - 0.5), int(v - 0.5)
            fu, fv = u - 0.5 - left, v - 0.5 - top
            upper = (1 - fu) * light[top, left] + fu * light[top, left + 1]
            lower = (1 - fu) * light[top + 1, left] + fu * light[top + 1, left + 1]
            c = (1 - fv) * upper + fv * lower
            weight[i, j] += w
            total[i, j] += w * c
            square[i, j] += w * c * c
