"""Reading a drive's LiDAR sweeps into world points."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from recon.drive import DriveLog
from recon.files import check_unchanged, read_inside
from recon.geometry import apply
from recon.sensors.sweep import decode_sweep

MIN_RANGE_M = 1.0  # nearer returns are from the vehicle itself


def world_points(drive: DriveLog, *, max_range_m: float, box_m: tuple[F64, F64] | None = None) -> F64:
    """Return (L, 3) world points of all sweeps within range; (0, 3) if the drive has no LiDAR.

    With a world box (two corners) only points in it are kept, and sweeps out of its range are not read.

    Raises DriveInvalid for a sweep that is missing, changed since the drive was read, or holds a broken point.
    """
    clouds = [np.zeros((0, 3))]
    for index, frame in enumerate(drive.frames):
        if not frame.lidar_path or drive.ego_from_lidar is None:
            continue
        place = frame.world_from_ego[:2, 3]
        if box_m is not None and np.any((place < box_m[0] - max_range_m) | (place > box_m[1] + max_range_m)):
            continue
        where = f"frame {index}: {frame.lidar_path}"
        data = read_inside(drive.root, frame.lidar_path, where=where)
        check_unchanged(data, drive.file_sha256.get(frame.lidar_path, ""), where=where)
        points = decode_sweep(data, drive.lidar_format, where=where)
        distance = np.linalg.norm(points, axis=1)
        usable = (distance > MIN_RANGE_M) & (distance < max_range_m)
        world = apply(frame.world_from_ego @ drive.ego_from_lidar, points[usable])
        if box_m is not None:
            world = world[np.all((world[:, :2] >= box_m[0]) & (world[:, :2] <= box_m[1]), axis=1)]
        clouds.append(world)
    return np.concatenate(clouds)
