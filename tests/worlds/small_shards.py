"""Shards of a few made-up keyframes, with two cameras, ids and depth, written in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from recon.classes import RoadClass
from recon.drive import Camera, DriveLog, Frame, Image
from recon.geo_origin import GeoOrigin
from recon.geometry import rotation_from_euler, transform
from training.model.config import ModelConfig
from vectorize.config import PackConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import pack
from vectorize.labels.view_members import ids_of_drive
from vectorize.road_map import Element

AHEAD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
PACK = PackConfig(with_images=True, with_ids=True, with_depth=True, samples_per_shard=3)
BARE = PackConfig()
MODEL = ModelConfig(image_px=(64, 32), stride=8, bev_px=(40, 20), points=8)
WIDTH, HEIGHT = 64, 48


def element(name, points, *, closed=False, seen=None):
    vertices = np.c_[np.array(points, float), np.zeros(len(points))]
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(len(points), bool) if seen is None else np.array(seen),
        confidence=np.linspace(0.5, 1.0, len(points)).astype(np.float32),
        score=0.75,
        closed=closed,
    )


ELEMENTS = (
    element("divider", [[-30, 1.5], [30, 1.5]], seen=[True, False]),
    element("ped_crossing", [[5, -4], [9, -4], [9, 4], [5, 4]], closed=True),
    element("boundary", [[-30, 6], [0, 6], [0, 15]]),
    element("centerline", [[-30, 0], [30, 0]]),
)


def cameras():
    k = np.array([[40.0, 0, 30], [0, 40, 24], [0, 0, 1]])
    fields = {"width_px": WIDTH, "height_px": HEIGHT, "k": k}
    left = transform(rotation_from_euler(yaw_rad=0.9) @ AHEAD, (1.0, 0.5, 1.5))
    return (
        Camera(
            name="front",
            ego_from_camera=transform(AHEAD, (1.5, 0, 1.5)),
            distortion=np.array([-0.1, 0.01, 0.001, 0.002]),
            **fields,
        ),
        Camera(name="cam.left", ego_from_camera=left, distortion=np.zeros(0), **fields),
    )


def drive(folder: Path, *, name="a", frames=4, origin=None, step_m=10.0, images=True) -> DriveLog:
    """Write images, ids and sweeps; the images differ in every frame and camera."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.full((HEIGHT, WIDTH), RoadClass.BACKGROUND, np.uint8)
    ids[24:], ids[30:, 10:14], ids[24:, 40:] = RoadClass.ROAD, RoadClass.LANE_MARKING, RoadClass.OFF_ROAD
    ids[40:, :8] = RoadClass.UNKNOWN
    cv2.imwrite(str(folder / "ids.png"), ids)
    (folder / "sweep.bin").write_bytes(np.array([[12.0, 0.5, -1.5, 0], [20, 1, -1, 0]], "<f4").tobytes())
    log = []
    for i in range(frames):
        taken = []
        for j, camera in enumerate(cameras()):
            path = f"{name}-{i}-{j}.png"
            if images:
                pixels = np.random.default_rng((i, j)).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
                cv2.imwrite(str(folder / path), cv2.resize(pixels, (WIDTH, HEIGHT)))
            taken.append(Image(camera=camera.name, path=path, time_ns=i * 10 + j, id_path="ids.png"))
        pose = transform(np.eye(3), (i * step_m, 0.0, 0.0))
        log.append(Frame(time_ns=i, world_from_ego=pose, images=tuple(taken), lidar_path="sweep.bin"))
    return DriveLog(
        name=name,
        root=folder,
        cameras=cameras(),
        frames=tuple(log),
        origin=origin,
        lidar_format="f32x4",
        ego_from_lidar=transform(np.eye(3), (1.0, 0, 1.8)),
    )


def labels(log: DriveLog, *, elements=ELEMENTS, known=None, size_m=(60.0, 30.0)) -> LabelSet:
    """Return labels of all frames: the right half of the patch is not known."""
    mask = np.arange(20)[None].repeat(40, 0) < 10 if known is None else known
    one = [
        PseudoLabels(frame=i, time_ns=f.time_ns, world_from_ego=f.world_from_ego, elements=elements, known=mask)
        for i, f in enumerate(log.frames)
    ]
    fields = {"length_m": size_m[0], "width_m": size_m[1], "mask_cell_m": 1.5, "provenance": {}}
    return LabelSet(drive=log.name, labels=tuple(one), **fields)


def write(folder: Path, *, name="a", frames=4, origin=None, step_m=10.0, config=PACK, **changes) -> Path:
    """Write the shards of one drive and return their folder."""
    images = config.with_images
    log = drive(folder / "drives" / name, name=name, frames=frames, origin=origin, step_m=step_m, images=images)
    out = folder / "shards" / name
    out.parent.mkdir(exist_ok=True)
    pack(labels(log, **changes), log, config, out, ids_of=ids_of_drive(log))
    return out


def at_degrees(longitude: float) -> GeoOrigin:
    return GeoOrigin(latitude_deg=49.0, longitude_deg=longitude)
