"""A small analytic drive for the fit: a straight sloping road with a white line, rendered exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from recon.artifact import seal
from recon.classes import RoadClass
from recon.drive import Camera, DriveLog, Frame, Image
from recon.geometry import rotation_from_euler, transform
from recon.segment.frame_labels import FrameLabels, Labels, write_labels

WIDTH, HEIGHT, FOCAL, CAMERA_Z_M = 160, 90, 110.0, 1.5
SLOPE = 0.03  # metres up per metre east
ROAD_HALF_M, LINE_Y_M, LINE_HALF_M = 4.0, 1.0, 0.15

# Camera axes (x right, y down, z forward) in the ego frame (x forward, y left, z up).
EGO_FROM_FRONT = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def ground_class(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the RoadClass of ground points."""
    ids = np.where(np.abs(y) < ROAD_HALF_M, int(RoadClass.ROAD), int(RoadClass.OFF_ROAD))
    return np.where(np.abs(y - LINE_Y_M) < LINE_HALF_M, int(RoadClass.LANE_MARKING), ids).astype(np.uint8)


def ground_rgb(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the colour 0..255 of ground points, with a texture so that stereo can match them."""
    ids = ground_class(x, y)
    base = np.array([[0] * 3, [90, 90, 95], [235, 235, 230], [0] * 3, [0] * 3, [80, 130, 70]] + [[0] * 3] * 3)[ids]
    texture = 25 * np.sin(x * 2.1)[..., None] * np.cos(y * 1.7 + x * 0.3)[..., None]
    return np.clip(base + texture, 0, 255).astype(np.uint8)


def write_drive(
    folder: Path, *, frames: int = 10, lidar: bool = True, occluded: bool = False
) -> tuple[DriveLog, FrameLabels]:
    """Write images, LiDAR and true labels of a drive eastwards over the slope."""
    camera = Camera(
        name="front",
        width_px=WIDTH,
        height_px=HEIGHT,
        k=np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2 - 15], [0, 0, 1.0]]),
        ego_from_camera=transform(EGO_FROM_FRONT, [1.0, 0.0, CAMERA_Z_M]),
        distortion=np.zeros(0),
    )
    pitch = -float(np.arctan(SLOPE))  # climbing: the x axis points up
    log_frames, entries = [], []
    labels_folder = folder / "labels"
    labels_folder.mkdir(parents=True)
    generator = np.random.default_rng(3)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(camera.k).T
    for i in range(frames):
        pose = transform(rotation_from_euler(yaw_rad=0.0, pitch_rad=pitch), [2.0 * i, 0.0, SLOPE * 2.0 * i])
        world_from_camera = pose @ camera.ego_from_camera
        origin = world_from_camera[:3, 3]
        direction = pixels @ world_from_camera[:3, :3].T
        descent = direction[..., 2] - SLOPE * direction[..., 0]
        t = np.where(descent < -1e-3, (SLOPE * origin[0] - origin[2]) / np.minimum(descent, -1e-3), 0.0)
        x, y = origin[0] + t * direction[..., 0], origin[1] + t * direction[..., 1]
        ground = t > 0
        rgb = np.where(ground[..., None], ground_rgb(x, y), np.array([150, 180, 220])).astype(np.uint8)
        ids = np.where(ground, ground_class(x, y), int(RoadClass.BACKGROUND)).astype(np.uint8)
        if occluded:
            ids[:] = int(RoadClass.UNKNOWN)
        cv2.imwrite(str(folder / f"{i:03d}.png"), rgb[..., ::-1])
        write_labels(Labels.certain(ids), labels_folder / f"{i}.png", labels_folder / f"{i}_evidence.png")
        entries.append({"frame": i, "camera": "front", "ids": f"{i}.png", "evidence": f"{i}_evidence.png"})
        if lidar:
            xy = generator.uniform([2.0, -8.0], [25.0, 8.0], (400, 2))
            points = np.c_[xy, generator.normal(0, 0.01, 400), np.zeros(400)].astype("<f4")
            points.tofile(folder / f"{i:03d}.bin")
        image = Image(camera="front", path=f"{i:03d}.png", time_ns=i * 10**8)
        lidar_path = f"{i:03d}.bin" if lidar else ""
        log_frames.append(Frame(time_ns=i * 10**8, world_from_ego=pose, images=(image,), lidar_path=lidar_path))
    seal(
        labels_folder,
        kind="FrameLabels",
        schema=1,
        meta={"images": entries, "model": "truth", "weights_sha256": "", "left_out": []},
    )
    drive = DriveLog(name="slope", root=folder, cameras=(camera,), frames=tuple(log_frames))
    if lidar:
        drive = replace(drive, lidar_format="f32x4", ego_from_lidar=np.eye(4))
    return drive, FrameLabels.open(labels_folder)
