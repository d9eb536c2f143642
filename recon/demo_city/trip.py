"""The log of a trip and its truth: names, exposure times of the cameras, noise of the written poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import F64
from recon.demo_city.config import CityConfig
from recon.demo_city.scene.city_scene import CityScene
from recon.drive import DriveLog
from recon.geometry import rotation_from_euler, transform

FORMAT = "roadscribe-demo-city-truth"
DRIFT_M = (90.0, 230.0)  # wavelengths of the drift along the drive


def drive_name(config: CityConfig) -> str:
    """Return the name of a drive: mapped place, seed, condition and trip, so that an evaluation can group by them."""
    place = f"{Path(config.map_log).name[:8]}-" if config.map_log else ""
    return f"demo-city-{place}{config.seed}-{config.condition}-trip{config.trip}"


def camera_offsets_ns(config: CityConfig) -> tuple[int, ...]:
    """Return the delay of each camera's exposure after its frame, in nanoseconds."""
    rng = np.random.default_rng((config.seed, config.trip, 88))
    draws = rng.uniform(0.0, config.camera_offset_ms, len(config.cameras))
    return tuple(round(ms * 1e6) for ms in draws.tolist())


def noisy_pose(config: CityConfig, scene: CityScene, index: int, offset_ns: int) -> F64:
    """Return the pose (4, 4) in the log: the true one, shifted and rotated by the trip's offset and slow drift."""
    driven = index * config.spacing_m + offset_ns * 1e-9 * config.speed_mps
    pose = scene.ego_pose(driven)
    if config.pose_noise_m == 0.0 and config.pose_noise_deg == 0.0:
        return pose
    rng = np.random.default_rng((config.seed, config.trip, 99))
    offset, drift = rng.normal(0.0, 1.0, 3), rng.normal(0.0, 0.5, (2, 3))
    phases = rng.uniform(0.0, 2 * np.pi, (2, 3))
    waves = np.sin(2 * np.pi * driven / np.array(DRIFT_M)[:, None] + phases)
    error = offset + (drift * waves).sum(axis=0)
    turn = transform(rotation_from_euler(yaw_rad=float(np.radians(config.pose_noise_deg) * error[2])), [0.0, 0.0, 0.0])
    moved: F64 = pose @ turn
    moved[:2, 3] += config.pose_noise_m * error[:2]
    return moved


def truth_record(config: CityConfig, scene: CityScene, log: DriveLog) -> dict[str, Any]:
    """Return the content of true_poses.json: condition, trip, and the true pose of every frame and image."""
    frames = []
    offsets = camera_offsets_ns(config)
    for index, frame in enumerate(log.frames):
        driven = index * config.spacing_m
        images = {
            image.camera: scene.ego_pose(driven + offset * 1e-9 * config.speed_mps).tolist()
            for image, offset in zip(frame.images, offsets, strict=True)
            if offset
        }
        entry: dict[str, Any] = {"time_ns": frame.time_ns, "world_from_ego": scene.ego_pose(driven).tolist()}
        frames.append(entry | ({"images": images} if images else {}))
    return {
        "format": FORMAT,
        "version": 1,
        "seed": config.seed,
        "condition": config.condition,
        "trip": config.trip,
        "frames": frames,
    }
