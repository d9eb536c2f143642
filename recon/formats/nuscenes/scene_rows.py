"""The rows of one nuScenes scene, and the frames made of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import F64
from recon.drive import Camera, Frame, Image
from recon.errors import CalibrationMissing, DriveEmpty, DriveInvalid, PoseInvalid
from recon.formats.frame_images import images_of_frames
from recon.formats.nuscenes.json_tables import Row, by_token, follow, rows
from recon.geometry import rotation_from_quaternion, transform

LIDAR = "LIDAR_TOP"
SWEEP_REACH_NS = 50_000_000  # the LiDAR turns 20 times a second
QUATERNION_TOLERANCE = 1e-3
_HINT = "Restore the table as nuScenes distributes it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The rows of one frame: the record with its pose, its images and its LiDAR sweep."""

    sample: str  # token; "" between keyframes
    time_ns: int
    pose: Row
    images: tuple[Row, ...]
    lidar: Row | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneRows:
    """The rows of one scene."""

    root: Path
    name: str
    location: str
    samples: tuple[Row, ...]  # in order of time
    data: tuple[Row, ...]  # of cameras and LIDAR_TOP
    channel: dict[str, str]  # calibrated sensor -> CAM_FRONT, ...
    calibrated: dict[str, Row]
    poses: dict[str, Row]

    @classmethod
    def open(cls, root: Path, version: str, scene: Row) -> SceneRows:
        """Read what belongs to a scene from the tables of a version."""
        token = scene.text("token")
        log = follow(scene, "log_token", by_token(rows(root, f"{version}/log.json")), "log.json")
        samples = by_token(rows(root, f"{version}/sample.json", lambda r: r.get("scene_token") == token))
        if not samples:
            raise DriveEmpty(f"no sample belongs to {scene.text('name')}", where=scene.where, hint=_HINT)
        calibrated = by_token(rows(root, f"{version}/calibrated_sensor.json"))
        sensors = by_token(rows(root, f"{version}/sensor.json"))
        data = [
            row
            for row in rows(root, f"{version}/sample_data.json", lambda r: r.get("sample_token") in samples)
            if row.fields.get("fileformat") in ("jpg", "png", "pcd")
        ]
        kept, channel = [], {}
        for row in data:
            sensor = follow(row, "calibrated_sensor_token", calibrated, "calibrated_sensor.json")
            name = follow(sensor, "sensor_token", sensors, "sensor.json")
            if name.text("modality") == "camera" or name.text("channel") == LIDAR:
                channel[sensor.text("token")] = name.text("channel")
                kept.append(row)
        needed = {row.text("ego_pose_token") for row in kept}
        poses = by_token(rows(root, f"{version}/ego_pose.json", lambda r: r.get("token") in needed))
        return cls(
            root=root,
            name=scene.text("name"),
            location=log.text("location"),
            samples=tuple(sorted(samples.values(), key=lambda row: row.integer("timestamp"))),
            data=tuple(kept),
            channel=channel,
            calibrated=calibrated,
            poses=poses,
        )

    def channel_of(self, row: Row) -> str:
        """Return the sensor that recorded a row of sample_data."""
        return self.channel[row.text("calibrated_sensor_token")]

    def sensors(self) -> tuple[tuple[Camera, ...], F64 | None]:
        """Return the cameras in order of names and `ego_from_lidar`; refuses a sensor calibrated twice in the scene."""
        of_channel: dict[str, Row] = {}
        for row in self.data:
            channel, token = self.channel_of(row), row.text("calibrated_sensor_token")
            if of_channel.setdefault(channel, row).text("calibrated_sensor_token") != token:
                raise CalibrationMissing(f"{channel} has two calibrations in {self.name}", where=row.where, hint=_HINT)
        cameras, ego_from_lidar = [], None
        for channel, row in sorted(of_channel.items()):
            sensor = self.calibrated[row.text("calibrated_sensor_token")]
            ego_from_sensor = _rigid(sensor, CalibrationMissing)
            if channel == LIDAR:
                ego_from_lidar = ego_from_sensor
            else:
                cameras.append(_camera(channel, sensor, row, ego_from_sensor))
        return tuple(cameras), ego_from_lidar

    def moments(self, sweeps: bool) -> list[Moment]:
        """Return the keyframes, and with `sweeps` the LiDAR's turns between them."""
        keyed: dict[str, list[Row]] = {row.text("token"): [] for row in self.samples}
        between: list[Row] = []
        for row in self.data:
            (keyed[row.text("sample_token")] if row.fields.get("is_key_frame") is True else between).append(row)
        moments = [self._keyframe(sample, keyed[sample.text("token")]) for sample in self.samples]
        return self._with_sweeps(moments, between) if sweeps else moments

    def _keyframe(self, sample: Row, data: list[Row]) -> Moment:
        time_us = sample.integer("timestamp")
        lidar = [row for row in data if self.channel_of(row) == LIDAR]
        images = sorted((row for row in data if self.channel_of(row) != LIDAR), key=self.channel_of)
        twice = [a for a, b in pairwise(images) if self.channel_of(a) == self.channel_of(b)]
        if not data or len(lidar) > 1 or twice:
            what = "nothing was recorded" if not data else "a sensor recorded twice"
            raise DriveInvalid(f"{what} at sample {sample.text('token')}", where=sample.where, hint=_HINT)
        # Without a LiDAR the pose is that of the image nearest in time.
        pose = lidar[0] if lidar else min(images, key=lambda row: abs(row.integer("timestamp") - time_us))
        return Moment(
            sample=sample.text("token"),
            time_ns=time_us * 1000,
            pose=pose,
            images=tuple(images),
            lidar=lidar[0] if lidar else None,
        )

    def _with_sweeps(self, keyframes: list[Moment], between: list[Row]) -> list[Moment]:
        turns = {row.integer("timestamp") * 1000: row for row in between if self.channel_of(row) == LIDAR}
        time_ns = np.array(sorted(turns), dtype=np.int64)
        taken: dict[int, list[Row]] = {time: [] for time in turns}
        for channel in sorted(set(self.channel.values()) - {LIDAR}):
            mine = {row.integer("timestamp") * 1000: row for row in between if self.channel_of(row) == channel}
            # Images between keyframes must stay before the next keyframe, or a camera's images would be out of order.
            fences = [
                moment.time_ns for moment in keyframes if any(self.channel_of(i) == channel for i in moment.images)
            ]
            fired = [
                row.integer("timestamp") * 1000
                for m in keyframes
                for row in m.images
                if self.channel_of(row) == channel
            ]
            for low, high, after, until in zip(
                [0, *fences], [*fences, 1 << 62], [0, *fired], [*fired, 1 << 62], strict=True
            ):
                gap = time_ns[(time_ns > low) & (time_ns < high)]
                images = np.array(sorted(t for t in mine if after < t < until), dtype=np.int64)
                for index, at in images_of_frames(images, gap, reach_ns=SWEEP_REACH_NS).items():
                    taken[int(gap[index])].append(mine[at])
        found = [
            Moment(sample="", time_ns=time, pose=turns[time], images=tuple(images), lidar=turns[time])
            for time, images in taken.items()
        ]
        return sorted([*keyframes, *found], key=lambda moment: moment.time_ns)

    def frame(self, moment: Moment) -> Frame:
        """Return a moment as a frame; PoseInvalid names the row of a pose that is missing or not rigid."""
        lidar_path = moment.lidar.text("filename") if moment.lidar else ""
        # Images and LiDAR are distributed apart: a data root may hold the tables' images only.
        there = bool(lidar_path) and (self.root / lidar_path).parent.is_dir()
        return Frame(
            time_ns=moment.time_ns,
            world_from_ego=self._pose(moment.pose),
            images=tuple(
                Image(
                    camera=self.channel_of(row),
                    path=row.text("filename"),
                    time_ns=row.integer("timestamp") * 1000,
                    world_from_ego=self._pose(row),
                )
                for row in moment.images
            ),
            lidar_path=lidar_path if there else "",
            keyframe=bool(moment.sample),
        )

    def _pose(self, row: Row) -> F64:
        return _rigid(follow(row, "ego_pose_token", self.poses, "ego_pose.json"), PoseInvalid)


def _numbers(row: Row, field: str, shape: tuple[int, ...], kind: type[DriveInvalid]) -> F64:
    value: Any = row.fields.get(field)
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise kind(f"{field} is not a list of numbers", where=row.where, hint=_HINT) from error
    if numbers.shape != shape or not np.isfinite(numbers).all():
        raise kind(f"{field} is {value!r}, not {shape} finite numbers", where=row.where, hint=_HINT)
    return numbers


def _rigid(row: Row, kind: type[DriveInvalid]) -> F64:
    rotation, translation = _numbers(row, "rotation", (4,), kind), _numbers(row, "translation", (3,), kind)
    norm = float(np.linalg.norm(rotation))
    if abs(norm - 1.0) > QUATERNION_TOLERANCE:
        raise kind(f"rotation has norm {norm:.4g}, not 1", where=row.where, hint=_HINT)
    return transform(rotation_from_quaternion(rotation), translation)


def _camera(channel: str, sensor: Row, row: Row, ego_from_camera: F64) -> Camera:
    k = _numbers(sensor, "camera_intrinsic", (3, 3), CalibrationMissing)
    # The devkit counts from the centre of the first pixel, Roadscribe from its corner.
    k[:2, 2] += 0.5
    try:
        return Camera(
            name=channel,
            width_px=row.integer("width"),
            height_px=row.integer("height"),
            k=k,
            ego_from_camera=ego_from_camera,
            distortion=np.zeros(0),
        )
    except ValueError as error:
        raise CalibrationMissing(str(error), where=sensor.where, hint=_HINT) from error
