"""A straight flat road as a drive folder with id images, small enough to be labelled in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from recon.classes import RoadClass

WIDTH, HEIGHT, FOCAL_PX, EYE_M = 240, 120, 130.0, 1.6
LINES_M = (-3.5, 0.0, 3.5)  # solid lines along x
EDGE_M = 5.0  # half width of the road
COLORS = {RoadClass.ROAD: 90, RoadClass.LANE_MARKING: 230, RoadClass.OFF_ROAD: 140, RoadClass.BACKGROUND: 30}


def write(folder: Path, *, frames: int = 10, step_m: float = 1.5) -> Path:
    """Write the drive: one camera looking ahead, driving along x at y = -1.75."""
    (folder / "front").mkdir(parents=True)
    (folder / "ids").mkdir()
    ids = _ids()
    pixels = np.select([ids == c for c in COLORS], list(COLORS.values())).astype(np.uint8)
    k = [[FOCAL_PX, 0.0, WIDTH / 2], [0.0, FOCAL_PX, HEIGHT / 3], [0.0, 0.0, 1.0]]
    ego_from_camera = [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, EYE_M], [0.0, 0.0, 0.0, 1.0]]
    entries = []
    for i in range(frames):
        # The world is the same at every x, and so is the image.
        cv2.imwrite(str(folder / "front" / f"{i}.png"), cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
        cv2.imwrite(str(folder / "ids" / f"{i}.png"), ids)
        pose = np.eye(4)
        pose[:2, 3] = i * step_m, -1.75
        images = {"front": {"path": f"front/{i}.png", "ids": f"ids/{i}.png"}}
        entries.append({"time_ns": 10**18 + i * 10**8, "world_from_ego": pose.tolist(), "images": images})
    camera = {"width_px": WIDTH, "height_px": HEIGHT, "k": k, "ego_from_camera": ego_from_camera}
    body = {"format": "roadscribe-drive", "version": 1, "name": "straight", "cameras": {"front": camera}}
    (folder / "drive.json").write_text(json.dumps({**body, "frames": entries}))
    return folder


def _ids() -> np.ndarray:
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        ahead = FOCAL_PX * EYE_M / v
        y = -1.75 - u * ahead / FOCAL_PX
    ids = np.where(np.abs(y) < EDGE_M, RoadClass.ROAD, RoadClass.OFF_ROAD)
    for line in LINES_M:
        ids = np.where(np.abs(y - line) < 0.12, RoadClass.LANE_MARKING, ids)
    return np.where((v > 2) & (ahead < 40), ids, RoadClass.BACKGROUND).astype(np.uint8)
