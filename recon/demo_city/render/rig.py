"""Calibrated cameras and LiDAR beams of the rig, and cameras at a pose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recon.arrays import F64
from recon.demo_city.config import CityConfig, LidarRig, RigCamera
from recon.drive import Camera
from recon.geometry import rotation_from_euler, transform

# OpenCV camera axes (x right, y down, z forward) in a frame with x forward, y left, z up
FORWARD_FROM_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class PosedCamera(NamedTuple):
    """A calibrated camera at a pose in the world, as the kernels read it."""

    position: tuple[float, float, float]
    rotation: F64  # (3, 3) world from camera
    focal_px: float
    cx: float
    cy: float
    width_px: int
    height_px: int


def calibrated_camera(camera: RigCamera, config: CityConfig) -> Camera:
    """Return the calibrated pinhole camera of one mount."""
    focal = 0.5 * config.width_px / np.tan(np.radians(camera.fov_deg) / 2)
    turn = rotation_from_euler(yaw_rad=np.radians(camera.yaw_deg), pitch_rad=np.radians(camera.pitch_deg))
    return Camera(
        name=camera.name,
        width_px=config.width_px,
        height_px=config.height_px,
        k=np.array([[focal, 0.0, config.width_px / 2], [0.0, focal, config.height_px / 2], [0.0, 0.0, 1.0]]),
        ego_from_camera=transform(turn @ FORWARD_FROM_CAMERA, camera.position_m),
        distortion=np.zeros(0),
    )


def posed_camera(camera: Camera, world_from_ego: F64) -> PosedCamera:
    """Return a camera at a pose of the vehicle."""
    world_from_camera = world_from_ego @ camera.ego_from_camera
    x, y, z = (float(v) for v in world_from_camera[:3, 3])
    return PosedCamera(
        position=(x, y, z),
        rotation=np.ascontiguousarray(world_from_camera[:3, :3]),
        focal_px=float(camera.k[0, 0]),
        cx=float(camera.k[0, 2]),
        cy=float(camera.k[1, 2]),
        width_px=camera.width_px,
        height_px=camera.height_px,
    )


def beam_directions(lidar: LidarRig) -> F64:
    """Return (columns, beams, 3) unit directions of one turn in the LiDAR's frame (axes as the vehicle's)."""
    elevation = np.radians(np.linspace(lidar.lowest_deg, lidar.highest_deg, lidar.beams))
    azimuth = np.linspace(np.pi, -np.pi, lidar.columns, endpoint=False)
    around, up = np.meshgrid(azimuth, elevation, indexing="ij")
    return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=-1)
