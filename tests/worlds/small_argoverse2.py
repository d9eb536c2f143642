"""A tiny Argoverse 2 log in the data set's layout, for tests of faulty data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from pyarrow import feather

LOG = "00000000-0000-3000-8000-000000000000"
START_NS = 315_966_000_000_000_000
POSES, SWEEPS = 61, 5  # every 10 ms, and every 100 ms from 50 ms on
STEP_NS, FIRST_SWEEP_NS, SWEEP_NS, IMAGE_NS = 10_000_000, 50_000_000, 100_000_000, 50_000_000
SPEED_M_S, ZERO_M, GROUND_Z_M = 8.0, (1500.0, 200.0, 12.0), -0.4
WIDTH, HEIGHT, LATE_NS = 32, 24, 7_000_000  # cameras expose 7 ms after a sweep
CAMERAS = ("ring_front_center", "ring_rear_left")
FORWARD_WXYZ = (0.5, -0.5, 0.5, -0.5)


def position(time_ns: int) -> np.ndarray:
    """Return the vehicle's position in the city; it drives along the city's x axis."""
    return np.array(ZERO_M) + [SPEED_M_S * (time_ns - START_NS) * 1e-9, 0.0, 0.0]


def point(x: float, y: float) -> dict[str, float]:
    """Return a map point, metres from where the log starts."""
    return {"x": ZERO_M[0] + x, "y": ZERO_M[1] + y, "z": ZERO_M[2] + GROUND_Z_M}


def lane(left: str, right: str, y: float, x0: float = 0.0, x1: float = 20.0) -> dict[str, Any]:
    """Return a lane of 4 m between `y` and `y - 4`."""
    return {
        "left_lane_mark_type": left,
        "right_lane_mark_type": right,
        "left_lane_boundary": [point(x0, y), point(x1, y)],
        "right_lane_boundary": [point(x0, y - 4), point(x1, y - 4)],
    }


def archive() -> dict[str, Any]:
    """Return two lanes of two pieces side by side, a crossing, and drivable ground of two touching areas."""
    lanes = [
        lane("SOLID_WHITE", "DASHED_WHITE", 4.0),
        lane("SOLID_WHITE", "DASHED_WHITE", 4.0, 20.0, 40.0),
        lane("DASHED_WHITE", "NONE", 0.0),
        lane("DASHED_WHITE", "DOUBLE_SOLID_YELLOW", 0.0, 20.0, 40.0),
    ]
    west = [point(-5, -6), point(20, -6), point(20, 6), point(-5, 6)]
    east = [point(20, -6), point(45, -6), point(45, 6), point(20, 6)]
    crossing = {"edge1": [point(30, -6), point(30, 6)], "edge2": [point(33, -6), point(33, 6)]}
    return {
        "lane_segments": {str(i): entry for i, entry in enumerate(lanes)},
        "pedestrian_crossings": {"7": crossing},
        "drivable_areas": {"1": {"area_boundary": west}, "2": {"area_boundary": east}},
    }


def table(path: Path, columns: dict[str, Any]) -> None:
    """Write a feather table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table(columns), path)


def poses() -> dict[str, Any]:
    """Return the columns of the pose table."""
    times = [START_NS + i * STEP_NS for i in range(POSES)]
    xyz = np.array([position(t) for t in times])
    columns: dict[str, Any] = {"timestamp_ns": pa.array(times, pa.int64()), "qw": [1.0] * POSES}
    columns |= {name: [0.0] * POSES for name in ("qx", "qy", "qz")}
    return columns | {f"t{axis}_m": xyz[:, i].tolist() for i, axis in enumerate("xyz")}


def sweep_times() -> list[int]:
    """Return the times of the LiDAR sweeps."""
    return [START_NS + FIRST_SWEEP_NS + i * SWEEP_NS for i in range(SWEEPS)]


def image_times() -> list[int]:
    """Return the times of the images, two per sweep."""
    return [START_NS + FIRST_SWEEP_NS + LATE_NS + i * IMAGE_NS for i in range(2 * SWEEPS - 1)]


def extrinsics() -> dict[str, Any]:
    """Return the columns of the extrinsics; the LiDAR is listed with the cameras, as in the data set."""
    names = [*CAMERAS, "up_lidar"]
    columns: dict[str, Any] = {"sensor_name": names}
    columns |= {name: [value] * 3 for name, value in zip(("qw", "qx", "qy", "qz"), FORWARD_WXYZ, strict=True)}
    return columns | {"tx_m": [1.6, 1.1, 1.3], "ty_m": [0.0] * 3, "tz_m": [1.4] * 3}


def intrinsics() -> dict[str, Any]:
    """Return the columns of the intrinsics, with lens coefficients that do not apply to the images."""
    columns: dict[str, Any] = {"sensor_name": list(CAMERAS), "fx_px": [20.0] * 2, "fy_px": [20.0] * 2}
    columns |= {"cx_px": [15.5] * 2, "cy_px": [11.5] * 2, "k1": [-0.2] * 2, "k2": [-0.1] * 2, "k3": [0.3] * 2}
    return columns | {"height_px": pa.array([HEIGHT] * 2, pa.uint16()), "width_px": pa.array([WIDTH] * 2, pa.uint16())}


def points(generator: np.random.Generator) -> dict[str, Any]:
    """Return the columns of a sweep, in the ego frame and half precision."""
    xyz = generator.uniform(2, 20, (30, 3)).astype(np.float16)
    columns = {axis: xyz[:, i] for i, axis in enumerate("xyz")}
    return columns | {"intensity": np.full(30, 9, np.uint8), "offset_ns": np.arange(30, dtype=np.int32)}


def write(folder: Path, *, images: bool = True) -> Path:
    """Write the log below `folder` and return it."""
    generator = np.random.default_rng(3)
    root = folder / LOG
    table(root / "city_SE3_egovehicle.feather", poses())
    for time_ns in sweep_times():
        table(root / f"sensors/lidar/{time_ns}.feather", points(generator))
    if images:
        table(root / "calibration/intrinsics.feather", intrinsics())
        table(root / "calibration/egovehicle_SE3_sensor.feather", extrinsics())
        for name in CAMERAS:
            (root / "sensors/cameras" / name).mkdir(parents=True)
            for time_ns in image_times():
                scene = generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
                cv2.imwrite(str(root / f"sensors/cameras/{name}/{time_ns}.jpg"), scene)
    (root / "map").mkdir()
    (root / "map" / f"log_map_archive_{LOG}____PIT_city_1.json").write_text(json.dumps(archive()))
    height = np.full((40, 100), ZERO_M[2] + GROUND_Z_M, np.float16)
    np.save(root / "map" / f"{LOG}_ground_height_surface____PIT.npy", height)
    frame = {"R": [1.0, 0.0, 0.0, 1.0], "t": [-ZERO_M[0] + 10.0, -ZERO_M[1] + 10.0], "s": 2.0}
    (root / "map" / f"{LOG}___img_Sim2_city.json").write_text(json.dumps(frame))
    return root
