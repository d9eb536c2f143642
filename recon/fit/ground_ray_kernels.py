"""Numba kernel of the fit: the pixels of an image that show ground within reach, and their rays."""

from __future__ import annotations

import numpy as np
from numba import njit

from recon.classes import RoadClass

NEAREST_M = 1.0
STEEPEST_RISE = -1e-3  # rays that fall less hit the ground beyond any reach


@njit(cache=True, nogil=True)
def ground_rays(labels, camera_from_pixel, world_from_camera, up, above_m, max_distance_m):
    """Return (P,) flat pixels of known class that show ground 1..`max_distance_m` away, and (P, 3) world rays.

    Rays go through pixel centres and have length 1 along the optical axis. The ground is the plane `above_m` below the
    camera, with the unit normal `up`.
    """
    height, width = labels.shape
    world_from_pixel = world_from_camera @ camera_from_pixel
    pixels = np.empty(height * width, np.int64)
    rays = np.empty((height * width, 3), np.float32)
    count = 0
    for row in range(height):
        for column in range(width):
            if labels[row, column] == RoadClass.UNKNOWN:
                continue
            u, v = column + 0.5, row + 0.5
            x = world_from_pixel[0, 0] * u + world_from_pixel[0, 1] * v + world_from_pixel[0, 2]
            y = world_from_pixel[1, 0] * u + world_from_pixel[1, 1] * v + world_from_pixel[1, 2]
            z = world_from_pixel[2, 0] * u + world_from_pixel[2, 1] * v + world_from_pixel[2, 2]
            descent = -(x * up[0] + y * up[1] + z * up[2])
            if z >= STEEPEST_RISE or descent <= 1e-6:
                continue
            distance = above_m / descent * (x * x + y * y + z * z) ** 0.5
            if NEAREST_M < distance < max_distance_m:
                pixels[count] = row * width + column
                rays[count, 0], rays[count, 1], rays[count, 2] = x, y, z
                count += 1
    return pixels[:count].copy(), rays[:count].copy()
