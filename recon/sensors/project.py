"""World points in camera images and on the ground under a vehicle."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F64, Bool
from recon.drive import Camera
from recon.geometry import apply, invert

NEAR_M = 0.5
WIDEST = 3.0  # tangent of the angle off the axis up to which a pinhole's distortion polynomial can be trusted


def project(camera: Camera, world_from_ego: F64, world: F64) -> tuple[F64, F64, Bool]:
    """Return pixel coordinates (N, 2) with centres at +0.5, depth (N,) in metres, and which points are inside (N,)."""
    points = apply(invert(world_from_ego @ camera.ego_from_camera), world)
    depth = points[:, 2]
    ahead = depth > NEAR_M
    if camera.model == "pinhole":
        ahead &= np.hypot(points[:, 0], points[:, 1]) < WIDEST * np.maximum(depth, NEAR_M)
    uv = np.zeros((len(points), 2))
    if ahead.any():
        shaped = np.ascontiguousarray(points[ahead]).reshape(-1, 1, 3)
        zero = np.zeros(3)
        if camera.model == "fisheye":
            found, _ = cv2.fisheye.projectPoints(shaped, zero, zero, camera.k, camera.distortion)
        else:
            found, _ = cv2.projectPoints(shaped, zero, zero, camera.k, camera.distortion)
        uv[ahead] = found.reshape(-1, 2)
    inside = np.all((uv >= 0) & (uv < (camera.width_px, camera.height_px)), axis=1)
    return uv, depth, ahead & inside


def on_ground(xy_m: F64, world_from_ego: F64, ground_z_ego_m: float) -> F64:
    """Return the (N, 3) world points at (N, 2) on the vehicle's ground plane, ego z = `ground_z_ego_m`."""
    up = world_from_ego[:3, 2]
    on_plane = world_from_ego[:3, 3] + ground_z_ego_m * up
    z = on_plane[2] - ((xy_m - on_plane[:2]) @ up[:2]) / up[2]
    result: F64 = np.c_[xy_m, z]
    return result
