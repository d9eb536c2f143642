"""World points in camera images and on the ground under a vehicle."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, Bool
from recon.drive import Camera
from recon.geometry import apply, invert
from recon.sensors.lens import Lens

NEAR_M = 0.5


def project(camera: Camera, world_from_ego: F64, world: F64) -> tuple[F64, F64, Bool]:
    """Return pixel coordinates (N, 2) with centres at +0.5, depth (N,) in metres, and which points are inside (N,).

    Points that the image cannot show have the coordinates (0, 0): nearer than NEAR_M, or behind the fold of the lens.
    A fisheye also shows points beside and slightly behind the camera, of which the depth is not positive.
    """
    points = apply(invert(world_from_ego @ camera.ego_from_camera), world)
    depth = points[:, 2]
    near = np.linalg.norm(points, axis=1) <= NEAR_M if camera.model == "fisheye" else depth <= NEAR_M
    uv, inside = Lens.of(camera).pixels(points)
    lost = near | ~np.isfinite(uv).all(axis=1)
    uv[lost] = 0.0
    return uv, depth, inside & ~lost


def on_ground(xy_m: F64, world_from_ego: F64, ground_z_ego_m: float) -> F64:
    """Return the (N, 3) world points at (N, 2) on the vehicle's ground plane, ego z = `ground_z_ego_m`."""
    up = world_from_ego[:3, 2]
    on_plane = world_from_ego[:3, 3] + ground_z_ego_m * up
    z = on_plane[2] - ((xy_m - on_plane[:2]) @ up[:2]) / up[2]
    result: F64 = np.c_[xy_m, z]
    return result
