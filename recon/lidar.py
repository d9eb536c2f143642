"""Reading a drive's LiDAR sweeps into world points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recon.drive import DriveLog
from recon.formats.contained import check_unchanged, read_inside
from recon.geometry import apply
from recon.sweep import decode_sweep

F64 = npt.NDArray[np.float64]

MIN_RANGE_M = 1.0  # nearer returns hit the vehicle itself


def world_points(drive: DriveLog, *, max_range_m: float) -> F64:
    """Return (L, 3) world points of all sweeps within range; (0, 3) where the drive has no LiDAR.

    Raises DriveInvalid for a sweep that is missing, changed since the drive was read, or holds a broken point.
    """
    clouds = [np.zeros((0, 3))]
    for index, frame in enumerate(drive.frames):
        if not frame.lidar_path or drive.ego_from_lidar is None:
            continue
        where = f"frame {index}: {frame.lidar_path}"
        data = read_inside(drive.root, frame.lidar_path, where=where)
        check_unchanged(data, drive.file_sha256.get(frame.lidar_path, ""), where=where)
        points = decode_sweep(data, drive.lidar_format, where=where)
        distance = np.linalg.norm(points, axis=1)
        usable = (distance > MIN_RANGE_M) & (distance < max_range_m)
        clouds.append(apply(frame.world_from_ego @ drive.ego_from_lidar, points[usable]))
    return np.concatenate(clouds)
