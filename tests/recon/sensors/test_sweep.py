"""Sweeps in every layout decode to the same points, and broken ones are refused."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from recon.drive import LidarFormat
from recon.errors import DriveInvalid
from recon.sensors.sweep import decode_sweep

POINTS = np.random.default_rng(1).uniform(-40, 40, (7, 3)).astype(np.float32)


def stored(lidar_format: LidarFormat, points: np.ndarray = POINTS) -> bytes:
    if lidar_format == "feather":
        sink = io.BytesIO()
        feather.write_feather(pa.table({axis: points[:, i] for i, axis in enumerate("xyz")}), sink)
        return sink.getvalue()
    width = {"f32x4": 4, "f32x5": 5}[lidar_format]
    return np.c_[points, np.ones((len(points), width - 3))].astype("<f4").tobytes()


@pytest.mark.parametrize("lidar_format", ["f32x4", "f32x5", "feather"])
def test_every_layout_gives_its_points(lidar_format: LidarFormat) -> None:
    assert np.array_equal(decode_sweep(stored(lidar_format), lidar_format, where="a"), POINTS)


@pytest.mark.parametrize("lidar_format", ["f32x4", "f32x5", "feather"])
def test_broken_sweeps_are_refused(lidar_format: LidarFormat) -> None:
    whole, broken = stored(lidar_format), POINTS.copy()
    broken[3, 1] = np.nan
    for data in (b"", whole[:-2], stored(lidar_format, broken), stored(lidar_format, POINTS[:0])):
        with pytest.raises(DriveInvalid) as caught:
            decode_sweep(data, lidar_format, where="sweep 1")
        assert caught.value.where.startswith("sweep 1")
