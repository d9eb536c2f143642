"""A tiny nuScenes data root of two scenes in the data set's layout, for tests of faulty data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

VERSION, LOCATION = "v1.0-mini", "boston-seaport"
START_US = 1_532_402_927_000_000
SPEED_M_S, ZERO_M = 8.0, (600.0, 1600.0)
WIDTH, HEIGHT, SAMPLES = 32, 24, 3
FORWARD_WXYZ = [0.5, -0.5, 0.5, -0.5]
LATE_US = {"CAM_FRONT": -35_000, "CAM_BACK": 12_000, "LIDAR_TOP": 0}
KEY_US, TURN_US = 500_000, 50_000  # two keyframes and 20 LiDAR sweeps per second
SWEEP_US = {"CAM_FRONT": 83_333, "CAM_BACK": 83_333, "LIDAR_TOP": TURN_US}

Tables = dict[str, list[dict[str, Any]]]


def pose(time_us: int) -> dict[str, Any]:
    """Return rotation and translation of a vehicle that drives north."""
    y = ZERO_M[1] + SPEED_M_S * (time_us - START_US) * 1e-6
    half = np.sqrt(0.5)
    return {"rotation": [half, 0.0, 0.0, half], "translation": [ZERO_M[0], y, 0.0]}


def tables() -> Tables:
    """Return every table of the data root: scene-0001 with sweeps, and scene-0002 of one sample."""
    result: Tables = {name: [] for name in ("category", "attribute", "visibility", "instance", "sample_annotation")}
    result["log"] = [{"token": "log0", "logfile": "n008", "vehicle": "n008", "date_captured": "", "location": LOCATION}]
    result["map"] = [{"token": "map0", "log_tokens": ["log0"], "category": "semantic_prior", "filename": ""}]
    k = [[20.0, 0.0, 15.5], [0.0, 20.0, 11.5], [0.0, 0.0, 1.0]]
    result["sensor"], result["calibrated_sensor"] = [], []
    for channel, x, rotation in (
        ("CAM_FRONT", 1.7, FORWARD_WXYZ),
        ("CAM_BACK", 0.1, [0.5, -0.5, -0.5, 0.5]),
        ("LIDAR_TOP", 0.9, [1.0, 0.0, 0.0, 0.0]),
        ("RADAR_FRONT", 3.4, [1.0, 0.0, 0.0, 0.0]),
    ):
        kind = {"CAM": "camera", "LID": "lidar", "RAD": "radar"}[channel[:3]]
        result["sensor"].append({"token": f"sensor-{channel}", "channel": channel, "modality": kind})
        entry = {"token": f"calib-{channel}", "sensor_token": f"sensor-{channel}", "translation": [x, 0.0, 1.5]}
        result["calibrated_sensor"].append(
            {**entry, "rotation": rotation, "camera_intrinsic": k if kind == "camera" else []}
        )
    result |= {"scene": [], "sample": [], "sample_data": [], "ego_pose": []}
    _scene(result, "scene-0001", START_US, SAMPLES)
    _scene(result, "scene-0002", START_US + 60_000_000, 1)
    return result


def _scene(result: Tables, name: str, start_us: int, count: int) -> None:
    tokens = [f"{name}-{i}" for i in range(count)]
    for i, token in enumerate(tokens):
        ends = {"prev": tokens[i - 1] if i else "", "next": tokens[i + 1] if i + 1 < count else ""}
        result["sample"].append({"token": token, "timestamp": start_us + i * KEY_US, "scene_token": name, **ends})
        for channel, late_us in LATE_US.items():
            _record(result, token, channel, start_us + i * KEY_US + late_us, key=True)
        _record(result, token, "RADAR_FRONT", start_us + i * KEY_US + 3, key=True)
    for channel, step_us in SWEEP_US.items():
        first, last = start_us + LATE_US[channel], start_us + (count - 1) * KEY_US + LATE_US[channel]
        for number in range(1, round((last - first) / step_us)):
            time_us = first + number * step_us
            if (time_us - first) % KEY_US:  # not the sweep of a keyframe
                _record(result, tokens[round((time_us - first) / KEY_US)], channel, time_us, key=False)
    scene = {"token": name, "log_token": "log0", "name": name, "description": "", "nbr_samples": count}
    result["scene"].append({**scene, "first_sample_token": tokens[0], "last_sample_token": tokens[-1]})


def _record(result: Tables, sample: str, channel: str, time_us: int, *, key: bool) -> None:
    token = f"{channel}-{time_us}"
    camera = channel.startswith("CAM")
    suffix = ".jpg" if camera else ".pcd" if channel.startswith("RADAR") else ".pcd.bin"
    result["ego_pose"].append({"token": token, "timestamp": time_us, **pose(time_us)})
    result["sample_data"].append(
        {
            "token": token,
            "sample_token": sample,
            "ego_pose_token": token,
            "calibrated_sensor_token": f"calib-{channel}",
            "timestamp": time_us,
            "fileformat": "jpg" if camera else "pcd",
            "is_key_frame": key,
            "height": HEIGHT if camera else 0,
            "width": WIDTH if camera else 0,
            "filename": f"{'samples' if key else 'sweeps'}/{channel}/{time_us}{suffix}",
            "prev": "",
            "next": "",
        }
    )


def write(folder: Path, body: Tables | None = None, *, version: str = VERSION) -> Path:
    """Write the data root and its files, with other tables if `body` is given."""
    generator = np.random.default_rng(4)
    body = tables() if body is None else body
    (folder / version).mkdir(parents=True)
    for name, rows in body.items():
        (folder / version / f"{name}.json").write_text(json.dumps(rows, indent=1))
    for row in tables()["sample_data"]:
        path = folder / row["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if row["fileformat"] == "jpg":
            cv2.imwrite(str(path), generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
        elif path.name.endswith(".bin"):
            generator.uniform(2, 9, (20, 5)).astype("<f4").tofile(path)
    return folder


def expansion() -> dict[str, Any]:
    """Return a map expansion: a road of 12 m along the drive with lines, crossing and stop areas, and one far away."""
    nodes: list[dict[str, Any]] = []
    body: dict[str, Any] = {"version": "1.3", "node": nodes, "line": [], "polygon": []}
    body |= {layer: [] for layer in ("drivable_area", "road_segment", "lane", "walkway", "carpark_area", "road_block")}
    body |= {layer: [] for layer in ("ped_crossing", "stop_line", "road_divider", "lane_divider", "traffic_light")}
    body |= {"lane_connector": [], "connectivity": {}, "arcline_path_3": {}, "canvas_edge": [2979.5, 2118.1]}

    def points(*xy: tuple[float, float]) -> list[str]:
        tokens = [f"node{len(nodes) + i}" for i in range(len(xy))]
        nodes.extend(
            {"token": token, "x": ZERO_M[0] + x, "y": ZERO_M[1] + y} for token, (x, y) in zip(tokens, xy, strict=True)
        )
        return tokens

    def line(*xy: tuple[float, float]) -> tuple[str, list[str]]:
        tokens = points(*xy)
        body["line"].append({"token": f"line{len(body['line'])}", "node_tokens": tokens})
        return body["line"][-1]["token"], tokens

    def area(west: float, south: float, east: float, north: float, holes: list[list[str]] | None = None) -> str:
        exterior = points((west, south), (east, south), (east, north), (west, north))
        inner = [{"node_tokens": hole} for hole in holes or []]
        token = f"polygon{len(body['polygon'])}"
        body["polygon"].append({"token": token, "exterior_node_tokens": exterior, "holes": inner})
        return token

    island = points((-1, 60), (1, 60), (1, 64), (-1, 64))
    road = [area(-6, -500, 6, 30), area(-6, 30, 6, 500, [island])]
    body["drivable_area"].append({"token": "area0", "polygon_tokens": road})
    body["drivable_area"].append({"token": "area1", "polygon_tokens": [area(900, 0, 920, 20)]})
    token, along = line((3, -20), (3, 0), (3, 20), (3, 40))
    kinds = ("SINGLE_SOLID_WHITE", "SINGLE_SOLID_WHITE", "DOUBLE_DASHED_WHITE", "NIL")
    segments = [{"node_token": n, "segment_type": k} for n, k in zip(along, kinds, strict=True)]
    body["lane_divider"].append({"token": "lane0", "line_token": token, "lane_divider_segments": segments})
    far, _ = line((903, 0), (903, 20))
    body["lane_divider"].append({"token": "lane1", "line_token": far, "lane_divider_segments": []})
    token, _ = line((0, -20), (0, 40))
    body["road_divider"].append({"token": "road0", "line_token": token, "road_segment_token": ""})
    body["ped_crossing"].append({"token": "ped0", "polygon_token": area(-6, 30, 6, 33), "road_segment_token": ""})
    for number, (kind, y) in enumerate((("STOP_SIGN", 28.0), ("TURN_STOP", 10.0))):
        stop = {"token": f"stop{number}", "polygon_token": area(0, y, 6, y + 1), "stop_line_type": kind}
        body["stop_line"].append(stop)
    return body


def write_expansion(root: Path, body: dict[str, Any] | None = None) -> Path:
    """Write the map expansion of the data root's location."""
    path = root / "maps" / "expansion" / f"{LOCATION}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(expansion() if body is None else body))
    return path
