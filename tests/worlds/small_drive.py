"""A tiny drive folder that uses every field of drive.json once, for tests of faulty drives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 32, 24
FORWARD = [[0.0, 0.0, 1.0, 1.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.5], [0.0, 0.0, 0.0, 1.0]]
START_NS = 1_700_000_000_123_456_789


def document(frames: int = 4) -> dict[str, Any]:
    """Return a drive.json with both pose forms, both image forms, LiDAR, ids, a mask and a true map."""
    k = [[20.0, 0.0, 16.0], [0.0, 20.0, 12.0], [0.0, 0.0, 1.0]]
    camera = {"width_px": WIDTH, "height_px": HEIGHT, "k": k}
    quaternion = {"translation_m": [-1.0, 0.0, 1.5], "rotation_wxyz": [0.5, 0.5, -0.5, -0.5]}
    body = {
        "format": "roadscribe-drive",
        "version": 1,
        "name": "small",
        "origin": {"latitude_deg": 49.0, "longitude_deg": 8.4, "altitude_m": 110.0},
        "ground_z_ego_m": -0.3,
        "cameras": {
            "front": {**camera, "ego_from_camera": FORWARD, "distortion": [0.0] * 5, "ego_mask": "front_mask.png"},
            "rear": {**camera, "ego_from_camera": quaternion, "model": "fisheye", "distortion": [0.0] * 4},
        },
        "lidar": {"format": "f32x4", "ego_from_lidar": quaternion},
        "frames": [_frame(i) for i in range(frames)],
        "true_map": "map.json",
    }
    result: dict[str, Any] = json.loads(json.dumps(body))  # a deep copy, so that a test changes one place only
    return result


def _frame(i: int) -> dict[str, Any]:
    time_ns = START_NS + i * 100_000_000
    pose = np.eye(4)
    pose[0, 3] = 1.5 * i
    rear = {"path": f"rear/{i}.jpg", "time_ns": time_ns + 5_000_000, "ids": f"ids/rear_{i}.png"}
    if i == 1:
        rear["world_from_ego"] = {"translation_m": [1.5, 0.1, 0.0], "rotation_wxyz": [1.0, 0.0, 0.0, 0.0]}
    images = {"front": {"path": f"front/{i}.png", "ids": f"ids/front_{i}.png"} if i else "front/0.png", "rear": rear}
    return {
        "time_ns": time_ns,
        "world_from_ego": pose.tolist(),
        "images": images,
        "keyframe": i % 2 == 0,
        **({"lidar": f"lidar/{i}.bin"} if i % 2 else {}),
    }


def write(folder: Path, frames: int = 4, body: dict[str, Any] | None = None) -> Path:
    """Write the drive and all its files to `folder`, with another drive.json if `body` is given."""
    generator = np.random.default_rng(5)
    for name in ("front", "rear", "ids", "lidar"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        scene = cv2.resize(generator.integers(0, 255, (6, 8, 3), dtype=np.uint8), (WIDTH, HEIGHT))
        cv2.imwrite(str(folder / f"front/{i}.png"), scene)
        cv2.imwrite(str(folder / f"rear/{i}.jpg"), scene)
        for name in ("front", "rear"):
            cv2.imwrite(str(folder / f"ids/{name}_{i}.png"), generator.integers(0, 9, (HEIGHT, WIDTH), dtype=np.uint8))
        generator.normal(0, 5, (20, 4)).astype("<f4").tofile(folder / f"lidar/{i}.bin")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[-4:] = 255
    cv2.imwrite(str(folder / "front_mask.png"), mask)
    (folder / "map.json").write_text("{}")
    (folder / "drive.json").write_text(json.dumps(body or document(frames)))
    return folder
