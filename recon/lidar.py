"""Reading a drive's LiDAR sweeps into world points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recon.drive import DriveLog
from recon.errors import DriveInvalid
from recon.geometry import apply

F64 = npt.NDArray[np.float64]

MIN_RANGE_M = 1.0  # nearer returns hit the vehicle itself


def world_points(drive: DriveLog, *, max_range_m: float) -> F64:
    """Return (L, 3) world points of all sweeps within range; (0, 3) where the drive has no LiDAR.

    Raises DriveInvalid for a sweep that is missing or not a whole number of points.
    """
    clouds = [np.zeros((0, 3))]
    for index, frame in enumerate(drive.frames):
        if not frame.lidar_path or drive.ego_from_lidar is None:
            continue
        path = drive.root / frame.lidar_path
        try:
            raw = np.fromfile(path, dtype="<f4")
        except OSError as error:
            raise DriveInvalid("the LiDAR sweep cannot be read", where=f"frame {index}: {frame.lidar_path}") from error
        if len(raw) % 4:
            raise DriveInvalid("the LiDAR sweep is truncated", where=f"frame {index}: {frame.lidar_path}")
        points = raw.reshape(-1, 4)[:, :3].astype(np.float64)
        distance = np.linalg.norm(points, axis=1)
        usable = np.isfinite(distance) & (distance > MIN_RANGE_M) & (distance < max_range_m)
        clouds.append(apply(frame.world_from_ego @ drive.ego_from_lidar, points[usable]))
    return np.concatenate(clouds)
