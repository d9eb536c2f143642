"""Stands: runs of images that one camera took from one place, as at a red light. Together they are one look.

What a net mistakes in one of them (a shadow for paint) it mistakes in all of them, so they count as one image. Looks
differ by parallax and by distance: `recon.fit.observe_kernels` decides that for every cell.
"""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, I64

STAND_M = 0.3  # from the first image of a stand; the pose of a waiting vehicle wanders by that much
STAND_RAD = np.radians(3.0)  # between the optical axes


def stands(world_from_camera: F64) -> I64:
    """Return the number of the stand (N,), from 0, of the images (N, 4, 4) of one camera in the order of time."""
    number = np.zeros(len(world_from_camera), dtype=np.int64)
    first = 0
    for i in range(1, len(number)):
        apart = np.linalg.norm(world_from_camera[i, :3, 3] - world_from_camera[first, :3, 3])
        cosine = world_from_camera[i, :3, 2] @ world_from_camera[first, :3, 2]
        leaves = apart > STAND_M or cosine < np.cos(STAND_RAD)
        first = i if leaves else first
        number[i] = number[i - 1] + leaves
    return number
