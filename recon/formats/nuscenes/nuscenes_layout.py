"""Writes a drive in nuScenes' layout, so that the nuScenes devkit and tools built on it can read the drive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from recon.arrays import F64
from recon.artifact import write_atomic
from recon.drive import DriveLog, Frame, Image
from recon.errors import DriveInvalid, storage_errors
from recon.files import read_inside
from recon.formats.nuscenes.scene_rows import LIDAR
from recon.geometry import transform
from recon.sensors.sweep import decode_sweep

# The devkit opens every table; tables without counterpart in a drive are empty.
EMPTY_TABLES = ("category", "attribute", "visibility", "instance", "sample_annotation")
FORMATS = {".jpg": "jpg", ".jpeg": "jpg", ".png": "png"}


def write_nuscenes(
    drive: DriveLog, folder: Path, *, version: str, location: str, expansion: Mapping[str, Any] | None = None
) -> None:
    """Write a drive to the data root `folder` as one scene of `version`, with the map of its `location`.

    The ego frame moves to the ground and times to whole microseconds. The format holds no lens distortion (such a drive
    is refused with DriveInvalid), no id images and no ego masks. `sample_data.json`, by which a data root is known, is
    written last. Raises DiskFull or StorageError.
    """
    for camera in drive.cameras:
        if camera.model != "pinhole" or np.any(camera.distortion):
            hint = "Undistort the images first."
            raise DriveInvalid(
                "the nuScenes format cannot hold lens distortion", where=f"camera {camera.name}", hint=hint
            )
    tables = _Tables(drive, location)
    for frame in drive.frames:
        tables.add_frame(frame)
    if not tables.samples():
        raise DriveInvalid("the drive has no keyframe with an image or LiDAR points", where=drive.name)
    with storage_errors(str(folder)):
        for source, target in tables.files:
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            data = read_inside(drive.root.resolve(), source, where=source)
            (folder / target).write_bytes(data if not target.endswith(".bin") else _five_floats(data, drive, source))
        (folder / version).mkdir(parents=True, exist_ok=True)
        if expansion is not None:
            (folder / "maps" / "expansion").mkdir(parents=True, exist_ok=True)
    if expansion is not None:
        write_atomic(folder / "maps" / "expansion" / f"{location}.json", _json(expansion))
    for name, rows in sorted(tables.finished().items(), key=lambda item: item[0] == "sample_data"):
        write_atomic(folder / version / f"{name}.json", _json(rows))


def token_of(name: str, table: str, number: int) -> str:
    """Return the token of a row, 32 hexadecimal digits: the same for the same drive, table and number of the row."""
    return hashlib.sha256(f"{name}/{table}/{number}".encode()).hexdigest()[:32]


def _json(body: Any) -> bytes:
    return json.dumps(body, indent=0, allow_nan=False).encode() + b"\n"


def _five_floats(data: bytes, drive: DriveLog, source: str) -> bytes:
    """Return a sweep as x, y, z, intensity, ring: the ring of a return is not known and 0."""
    points = decode_sweep(data, drive.lidar_format, where=source)
    stored = np.zeros((len(points), 5), dtype="<f4")
    stored[:, :3] = points
    if drive.lidar_format in ("f32x4", "f32x5"):
        values = np.frombuffer(data, dtype="<f4").reshape(len(points), -1)
        stored[:, 3 : values.shape[1]] = values[:, 3:]
    return stored.tobytes()


class _Tables:
    """The tables of one scene; a token is the digest of the drive's name, the table and the row's number."""

    def __init__(self, drive: DriveLog, location: str) -> None:
        self._drive = drive
        self._name = drive.name
        self.files: list[tuple[str, str]] = []
        names = ("log", "map", "sensor", "calibrated_sensor", "scene", "sample", "sample_data", "ego_pose")
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (*names, *EMPTY_TABLES)}
        # nuScenes' ego frame lies on the ground.
        self._ego_from_ground = transform(np.eye(3), (0.0, 0.0, drive.ground_z_ego_m))
        day = datetime.fromtimestamp(drive.frames[0].time_ns * 1e-9 if drive.frames else 0, tz=UTC).date().isoformat()
        log = self._add("log", logfile=drive.name, vehicle="", date_captured=day, location=location)
        self._add("map", log_tokens=[log], category="semantic_prior", filename="")
        self._scene = self._add("scene", log_token=log, name=drive.name, description="")
        self._sensor: dict[str, str] = {}
        for camera in drive.cameras:
            # The devkit counts from the centre of the first pixel.
            k = camera.k - np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
            self._calibrate(camera.name, "camera", camera.ego_from_camera, k.tolist())
        if drive.ego_from_lidar is not None:
            self._calibrate(LIDAR, "lidar", drive.ego_from_lidar, [])

    def _add(self, table: str, **fields: Any) -> str:
        rows = self._rows[table]
        token = token_of(self._name, table, len(rows))
        rows.append({"token": token, **fields})
        return token

    def _calibrate(self, channel: str, modality: str, ego_from_sensor: F64, k: list[list[float]]) -> None:
        sensor = self._add("sensor", channel=channel, modality=modality)
        ground_from_sensor = np.linalg.inv(self._ego_from_ground) @ ego_from_sensor
        pose = _rigid(ground_from_sensor)
        self._sensor[channel] = self._add("calibrated_sensor", sensor_token=sensor, **pose, camera_intrinsic=k)

    def samples(self) -> list[dict[str, Any]]:
        """Return the rows of the keyframes so far."""
        return self._rows["sample"]

    def add_frame(self, frame: Frame) -> None:
        """Add a frame: a keyframe becomes a sample, others belong to the sample before them."""
        if not frame.images and not frame.lidar_path:
            return
        if frame.keyframe or not self.samples():
            self._add("sample", timestamp=round(frame.time_ns / 1000), scene_token=self._scene)
        sample = self.samples()[-1]["token"]
        for image in frame.images:
            camera = self._drive.camera(image.camera)
            suffix = PurePosixPath(image.path).suffix.lower()
            self._record(sample, frame, image, suffix, {"height": camera.height_px, "width": camera.width_px})
        if frame.lidar_path:
            lidar = Image(camera=LIDAR, path=frame.lidar_path, time_ns=frame.time_ns)
            self._record(sample, frame, lidar, ".pcd.bin", {"height": 0, "width": 0})

    def _record(self, sample: str, frame: Frame, image: Image, suffix: str, size: dict[str, int]) -> None:
        time_us = round(image.time_ns / 1000)
        folder = "samples" if frame.keyframe else "sweeps"
        target = f"{folder}/{image.camera}/{self._name}__{image.camera}__{time_us}{suffix}"
        pose = frame.pose_of(image) @ self._ego_from_ground
        self.files.append((image.path, target))
        self._add(
            "sample_data",
            sample_token=sample,
            ego_pose_token=self._add("ego_pose", timestamp=time_us, **_rigid(pose)),
            calibrated_sensor_token=self._sensor[image.camera],
            timestamp=time_us,
            fileformat=FORMATS.get(suffix, "pcd"),
            is_key_frame=frame.keyframe,
            **size,
            filename=target,
        )

    def finished(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables with `prev` and `next` and the scene's ends filled in."""
        _chain(self.samples())
        by_sensor: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows["sample_data"]:
            by_sensor.setdefault(row["calibrated_sensor_token"], []).append(row)
        for rows in by_sensor.values():
            _chain(sorted(rows, key=lambda row: int(row["timestamp"])))
        samples = self.samples()
        ends = {"first_sample_token": samples[0]["token"], "last_sample_token": samples[-1]["token"]}
        self._rows["scene"][0] |= {"nbr_samples": len(samples), **ends}
        return self._rows


def _chain(rows: list[dict[str, Any]]) -> None:
    for index, row in enumerate(rows):
        row["prev"] = rows[index - 1]["token"] if index else ""
        row["next"] = rows[index + 1]["token"] if index + 1 < len(rows) else ""


def _rigid(a_from_b: F64) -> dict[str, list[float]]:
    x, y, z, w = Rotation.from_matrix(a_from_b[:3, :3]).as_quat().tolist()
    return {"rotation": [w, x, y, z], "translation": a_from_b[:3, 3].tolist()}
