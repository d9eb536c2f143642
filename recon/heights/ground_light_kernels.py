"""Numba kernel of pictures from above: the light of one image at places of the ground."""

from __future__ import annotations

from numba import njit

from recon.classes import RoadClass


@njit(cache=True)
def add_light(x, y, z, camera_from_world, k, labels, light, near_m, far_m, weight, total):
    """Add one image's light (H, W) at the places x, y, z (M,) that it shows on pixels of known class.

    `weight` and `total` (M,) accumulate w and w c with w = 1 / distance, because nearer views are sharper.
    """
    height, width = labels.shape
    m = camera_from_world
    for i in range(x.shape[0]):
        cx = m[0, 0] * x[i] + m[0, 1] * y[i] + m[0, 2] * z[i] + m[0, 3]
        cy = m[1, 0] * x[i] + m[1, 1] * y[i] + m[1, 2] * z[i] + m[1, 3]
        cz = m[2, 0] * x[i] + m[2, 1] * y[i] + m[2, 2] * z[i] + m[2, 3]
        distance = (cx * cx + cy * cy + cz * cz) ** 0.5
        if cz < 0.5 or distance < near_m or distance > far_m:
            continue
        u = (k[0, 0] * cx + k[0, 1] * cy) / cz + k[0, 2]
        v = k[1, 1] * cy / cz + k[1, 2]
        outside = u < 1.0 or v < 1.0 or u >= width - 1.0 or v >= height - 1.0
        if outside or labels[int(v), int(u)] == RoadClass.UNKNOWN:
            continue
        left, top = int(u - 0.5), int(v - 0.5)
        fu, fv = u - 0.5 - left, v - 0.5 - top
        upper = (1 - fu) * light[top, left] + fu * light[top, left + 1]
        lower = (1 - fu) * light[top + 1, left] + fu * light[top + 1, left + 1]
        weight[i] += 1.0 / distance
        total[i] += ((1 - fv) * upper + fv * lower) / distance
