"""Writes a drive through the demo city as an open drive folder, with its true map."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from recon.arrays import F32, F64, I32, U8
from recon.artifact import write_atomic
from recon.demo_city.config import CityConfig
from recon.demo_city.render.camera_response import camera_response
from recon.demo_city.render.image_kernels import render
from recon.demo_city.render.lidar_kernels import sweep
from recon.demo_city.render.optics import optics_of
from recon.demo_city.render.rig import beam_directions, calibrated_camera, posed_camera
from recon.demo_city.scene.city_scene import CityScene
from recon.demo_city.scene.solid_columns import CENTER, RADIUS
from recon.demo_city.town_origin import town_origin
from recon.demo_city.trip import camera_offsets_ns, drive_name, noisy_pose, truth_record
from recon.demo_city.true_map import true_map
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import StorageError, storage_errors
from recon.geometry import transform
from recon.progress import Tick, silent

START_NS = 1_700_000_000_000_000_000
TRUE_MAP = "true_map.json"
TRUE_POSES = "true_poses.json"


def write_demo_drive(folder: Path, config: CityConfig, tick: Tick = silent, *, threads: int = 2) -> DriveLog:
    """Render the drive of a seed into `folder` and return its log.

    The same settings give the same bytes, whatever `threads` is. Raises DiskFull or StorageError. `drive.json` is
    written last, so a folder that has one is complete.
    """
    _, log = render_drive(folder, config, tick, threads=threads)
    # Imported here: a caller that only builds scenes does not need drive folders.
    from recon.formats.drive_folder.drive_folder import write_drive_json

    write_drive_json(log, folder)
    return log


def render_drive(folder: Path, config: CityConfig, tick: Tick, *, threads: int) -> tuple[CityScene, DriveLog]:
    """Write all files of a drive and its truth, except drive.json; return the scene and the log."""
    cameras = tuple(calibrated_camera(camera, config) for camera in config.cameras)
    # A folder that cannot be written is told before seconds go into the scene.
    with storage_errors(str(folder)):
        for camera in cameras:
            (folder / "images" / camera.name).mkdir(parents=True, exist_ok=True)
            (folder / "ids" / camera.name).mkdir(parents=True, exist_ok=True)
        if config.with_lidar:
            (folder / "lidar").mkdir(parents=True, exist_ok=True)
    scene = CityScene.build(config, threads=threads)
    log = plan_drive(folder, config, scene, cameras)
    # The kernels release the GIL and count randomness per pixel, so the order of the images does not matter.
    pool = ThreadPoolExecutor(max_workers=threads)
    try:
        jobs = [pool.submit(_write_frame, folder, config, scene, cameras, log, i) for i in range(config.frames)]
        for done, job in enumerate(jobs, start=1):
            job.result()
            tick(done * len(cameras), config.frames * len(cameras), "images")
    finally:
        pool.shutdown(cancel_futures=True)
    truth = json.dumps(truth_record(config, scene, log), separators=(",", ":"))
    write_atomic(folder / TRUE_POSES, truth.encode() + b"\n")
    body = json.dumps(true_map(scene.plan, scene.ground), separators=(",", ":"))
    write_atomic(folder / TRUE_MAP, body.encode() + b"\n")
    return scene, log


def _write_frame(
    folder: Path, config: CityConfig, scene: CityScene, cameras: tuple[Camera, ...], log: DriveLog, index: int
) -> None:
    frame = log.frames[index]
    offsets = camera_offsets_ns(config)
    for number, image in enumerate(frame.images):
        rgb, ids = picture(scene, config, cameras[number], number, index, offsets[number])
        _save(folder, image, rgb, ids, config.jpeg_quality)
    if frame.lidar_path:
        points = _scan(scene, config, index)
        with storage_errors(str(folder / frame.lidar_path)):
            (folder / frame.lidar_path).write_bytes(points.astype("<f4").tobytes())


def plan_drive(folder: Path, config: CityConfig, scene: CityScene, cameras: tuple[Camera, ...]) -> DriveLog:
    """Return the log of the drive: poses, times and the names of the files to come."""
    frames = []
    offsets = camera_offsets_ns(config)
    for index in range(config.frames):
        time_ns = START_NS + round(index * config.spacing_m / config.speed_mps * 1e9)
        images = tuple(
            Image(
                camera=camera.name,
                path=f"images/{camera.name}/{index:04d}.jpg",
                time_ns=time_ns + offsets[number],
                world_from_ego=noisy_pose(config, scene, index, offsets[number]) if offsets[number] else None,
                id_path=f"ids/{camera.name}/{index:04d}.png",
            )
            for number, camera in enumerate(cameras)
        )
        lidar_path = f"lidar/{index:04d}.bin" if config.with_lidar else ""
        pose = noisy_pose(config, scene, index, 0)
        frames.append(Frame(time_ns=time_ns, world_from_ego=pose, images=images, lidar_path=lidar_path))
    return DriveLog(
        name=drive_name(config),
        root=folder,
        cameras=cameras,
        frames=tuple(frames),
        ground_z_ego_m=0.0,
        origin=town_origin(config),
        lidar_format="f32x4" if config.with_lidar else "",
        ego_from_lidar=transform(np.eye(3), config.lidar.position_m) if config.with_lidar else None,
        true_map=TRUE_MAP,
    )


def _nearest_first(solids: F64, position: npt.ArrayLike) -> I32:
    distance = np.linalg.norm(solids[:, CENTER : CENTER + 3] - np.asarray(position), axis=1) - solids[:, RADIUS]
    return np.argsort(distance, kind="stable").astype(np.int32)


def picture(
    scene: CityScene, config: CityConfig, camera: Camera, number: int, index: int, offset_ns: int = 0
) -> tuple[U8, U8]:
    """Return one image (H, W, 3) u8 RGB and its class ids (H, W) u8."""
    time_s = index * config.spacing_m / config.speed_mps + offset_ns * 1e-9
    world_from_ego = scene.ego_pose(time_s * config.speed_mps)
    posed = posed_camera(camera, world_from_ego)
    solids = scene.solids_at(time_s)
    order = _nearest_first(solids, posed.position)
    heads = scene.heads_at(time_s, world_from_ego)
    linear, ids, _ = render(scene.ground, solids, len(scene.static), order, scene.light, heads, posed)
    counter = ((config.seed * 1009 + config.trip * 131 + index) * 64 + number) % (1 << 40)
    return camera_response(linear, optics_of(config, scene.light, number), counter), ids


def _scan(scene: CityScene, config: CityConfig, index: int) -> F32:
    driven = index * config.spacing_m
    solids = scene.solids_at(driven / config.speed_mps)
    world_from_lidar = scene.ego_pose(driven) @ transform(np.eye(3), config.lidar.position_m)
    x, y, z = (float(v) for v in world_from_lidar[:3, 3])
    points: F32 = sweep(
        scene.ground,
        solids,
        _nearest_first(solids, (x, y, z)),
        (x, y, z),
        np.ascontiguousarray(world_from_lidar[:3, :3]),
        beam_directions(config.lidar),
        config.lidar.max_range_m,
        config.lidar.noise_m,
        (config.seed * 1009 + index) * 64 + 63,
    )
    return points


def _save(folder: Path, image: Image, rgb: U8, ids: U8, jpeg_quality: int) -> None:
    for path, pixels, options in (
        (image.path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]),
        (image.id_path, ids, [cv2.IMWRITE_PNG_COMPRESSION, 6]),
    ):
        encoded, data = cv2.imencode(Path(path).suffix, pixels, options)
        if not encoded:
            raise StorageError("the image could not be encoded", where=path)
        with storage_errors(str(folder / path)):
            (folder / path).write_bytes(data.tobytes())
