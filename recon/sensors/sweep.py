"""Decodes the stored layouts of LiDAR sweeps to points."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from recon.drive import LidarFormat
from recon.errors import DriveInvalid
from recon.sensors.feather_table import decode_columns

_FLOATS = {"f32x4": 4, "f32x5": 5}


def decode_sweep(data: bytes, lidar_format: LidarFormat, *, where: str) -> F64:
    """Return (L, 3) points in metres, in the sensor's frame; DriveInvalid unless all are complete and finite."""
    if lidar_format == "feather":
        columns = decode_columns(data, ("x", "y", "z"), where=where)
        points: F64 = np.stack([columns[axis].astype(np.float64) for axis in "xyz"], axis=-1)
        if not len(points):
            raise DriveInvalid("the sweep holds no points", where=where, hint="Leave an empty sweep out of the drive.")
        return points
    floats = _FLOATS[lidar_format or "f32x4"]
    if not data or len(data) % (4 * floats):
        extra = " and the ring" if floats == 5 else ""
        hint = f"A point is {floats} little-endian float32: x, y, z in metres, intensity{extra}."
        raise DriveInvalid(f"{len(data)} bytes are not a whole number of LiDAR points", where=where, hint=hint)
    values = np.frombuffer(data, dtype="<f4").reshape(-1, floats)
    bad = int(np.count_nonzero(~np.isfinite(values[:, :4]).all(axis=1)))
    if bad:
        raise DriveInvalid(
            f"{bad} LiDAR points hold NaN or infinity", where=where, hint="Drop points without a return."
        )
    return values[:, :3].astype(np.float64)
