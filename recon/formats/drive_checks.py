"""The checks that all formats share: poses, times, calibration, and every file that a drive references."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recon.drive import Camera, DriveLog, Frame, Image, LidarFormat
from recon.errors import (
    CalibrationMissing,
    DriveEmpty,
    DriveInvalid,
    ImageInvalid,
    PoseInvalid,
    RoadscribeError,
)
from recon.files import read_inside
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.geo_origin import LOCAL_FRAME_LIMIT_M
from recon.geometry import rigid_fault
from recon.progress import Tick, silent
from recon.sensors.image_file import SMALLER, check_image, decode_gray, decode_ids, too_large
from recon.sensors.sweep import decode_sweep

MAX_SPEED_M_S = 100.0  # faster than any road vehicle: a jump of the positioning, or a wrong unit
MAX_IMAGE_DELAY_NS = 1_000_000_000  # an image farther than this from its frame's time has a wrong unit
_CAMERA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_drive(
    parsed: ParsedDrive, problems: Problems, tick: Tick = silent, *, images_required: bool = True
) -> DriveLog:
    """Report every problem of a drive and return it with the sha256 of each file it references."""
    drive = parsed.drive
    # After an earlier problem, images may be missing because of it.
    if images_required and not drive.images() and not problems.found:
        hint = parsed.without_images or "Give at least one frame with one image."
        problems.add(DriveEmpty(where=drive.name, hint=hint))
    _check_cameras(drive, problems)
    misplaced = _check_frames(parsed, problems)
    _check_images(parsed, misplaced, problems)
    return _check_files(parsed, problems, tick)


def _check_cameras(drive: DriveLog, problems: Problems) -> None:
    seen: set[str] = set()
    for camera in drive.cameras:
        where = f"camera {camera.name}"
        if not _CAMERA_NAME.fullmatch(camera.name):
            hint = "Use up to 64 letters, digits, dots, dashes and underscores."
            problems.add(DriveInvalid(f"{camera.name!r} is not a valid camera name", where=where, hint=hint))
        if camera.name in seen:
            problems.add(
                DriveInvalid("two cameras have the same name", where=where, hint="Give each camera its own name.")
            )
        seen.add(camera.name)
        if fault := too_large(camera.width_px, camera.height_px):
            problems.add(DriveInvalid(fault, where=where, hint=SMALLER))


def _check_frames(parsed: ParsedDrive, problems: Problems) -> set[int]:
    """Report faults of poses and times; return the frames whose time is not later than that of the frame before."""
    drive = parsed.drive
    misplaced: set[int] = set()
    for index, (frame, place) in enumerate(zip(drive.frames, parsed.places, strict=True)):
        fault = _pose_fault(frame)
        if fault:
            hint = "world_from_ego is a rigid transform in metres, from ego to local east-north-up."
            problems.add(PoseInvalid(f"the pose is not a rigid transform: {fault}", where=place, hint=hint))
        for image in frame.images:
            fault = "" if image.world_from_ego is None else rigid_fault(image.world_from_ego)
            if fault:
                problems.add(
                    PoseInvalid(f"the image's pose is not a rigid transform: {fault}", where=_at(place, image))
                )
        if index and not _follows(parsed, index, problems):
            misplaced.add(index)
        if frame.lidar_path and (drive.lidar_format == "" or drive.ego_from_lidar is None):
            hint = "State the LiDAR's format and ego_from_lidar."
            problems.add(
                CalibrationMissing("the drive has LiDAR points but no LiDAR calibration", where=place, hint=hint)
            )
    fault = "" if drive.ego_from_lidar is None else rigid_fault(drive.ego_from_lidar)
    if fault:
        problems.add(PoseInvalid(f"ego_from_lidar: {fault}", where=drive.name))
    return misplaced


def _pose_fault(frame: Frame) -> str:
    fault = rigid_fault(frame.world_from_ego)
    if not fault and float(np.abs(frame.world_from_ego[:3, 3]).max()) > LOCAL_FRAME_LIMIT_M:
        return f"it lies more than {LOCAL_FRAME_LIMIT_M / 1000:.0f} km from the world's origin; use local metres"
    return fault


def _follows(parsed: ParsedDrive, index: int, problems: Problems) -> bool:
    """Return whether a frame is later than the one before it; report it if not, or if the vehicle jumps."""
    before, after = parsed.drive.frames[index - 1], parsed.drive.frames[index]
    place_before, place = parsed.places[index - 1], parsed.places[index]
    step_ns = after.time_ns - before.time_ns
    if step_ns <= 0:
        what = (
            "the time equals that of the previous frame: a duplicated frame" if step_ns == 0 else "time goes backwards"
        )
        hint = "Sort the frames by time and list each time once."
        problems.add(PoseInvalid(f"{what} ({place_before} is at {before.time_ns} ns)", where=place, hint=hint))
        return False
    step_m = float(np.linalg.norm(after.world_from_ego[:3, 3] - before.world_from_ego[:3, 3]))
    if {index - 1, index}.isdisjoint(parsed.unplaced) and step_m > MAX_SPEED_M_S * step_ns * 1e-9:
        message = f"the vehicle jumps {step_m:.1f} m in {step_ns * 1e-9:.3f} s after {place_before}"
        hint = "Check the units (metres, nanoseconds) and cut the drive where the positioning jumps."
        problems.add(PoseInvalid(message, where=place, hint=hint))
    return True


def _check_images(parsed: ParsedDrive, misplaced: set[int], problems: Problems) -> None:
    cameras = {camera.name for camera in parsed.drive.cameras}
    last_ns: dict[str, int] = {}
    owner: dict[str, str] = {}
    for index, frame, image in parsed.drive.images():
        place = parsed.places[index]
        where = _at(place, image)
        if image.camera not in cameras:
            hint = f"Calibrated cameras: {', '.join(sorted(cameras)) or 'there are none'}."
            problems.add(CalibrationMissing(f"camera {image.camera} has no calibration", where=where, hint=hint))
        if index in misplaced:
            continue  # its images are out of order because the frame is
        if image.path in owner:
            hint = "List each image once."
            problems.add(DriveInvalid(f"the image already belongs to {owner[image.path]}", where=where, hint=hint))
        owner[image.path] = place
        if abs(image.time_ns - frame.time_ns) > MAX_IMAGE_DELAY_NS:
            delay = (image.time_ns - frame.time_ns) * 1e-9
            hint = "Give all times as int64 nanoseconds of one clock."
            problems.add(PoseInvalid(f"the image is {delay:.3f} s from its frame's time", where=where, hint=hint))
        elif image.camera in last_ns and image.time_ns <= last_ns[image.camera]:
            hint = "Sort each camera's images by time and list each time once."
            problems.add(PoseInvalid("the times of the camera do not increase", where=where, hint=hint))
        last_ns[image.camera] = image.time_ns


def _at(place: str, image: Image) -> str:
    return f"{place}, {image.path}"


@dataclass(frozen=True, slots=True)
class _File:
    """One file to open: its path, the place that references it, and the check of its bytes."""

    path: str
    where: str
    kind: type[RoadscribeError]
    check: Callable[[bytes, str], None]


def _check_files(parsed: ParsedDrive, problems: Problems, tick: Tick) -> DriveLog:
    drive = parsed.drive
    files = _files(parsed)
    sha256: dict[str, str] = {}
    workers = min(4, os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="drive-files") as pool:
        try:
            # Bounded slices keep cancellation quick and the queue small for drives of a hundred thousand files.
            for start in range(0, len(files), 64):
                part = files[start : start + 64]
                for file, (digest, error) in zip(part, pool.map(lambda f: _open(drive.root, f), part), strict=True):
                    sha256[file.path] = digest
                    if error is not None:
                        problems.add(error)
                tick(min(start + 64, len(files)), len(files), "files")
        finally:
            pool.shutdown(cancel_futures=True)
    frames = tuple(
        replace(frame, images=tuple(replace(image, sha256=sha256.get(image.path, "")) for image in frame.images))
        for frame in drive.frames
    )
    images = {image.path for _, _, image in drive.images()}
    others = {path: digest for path, digest in sorted(sha256.items()) if path not in images}
    return replace(drive, frames=frames, file_sha256=others)


def _open(root: Path, file: _File) -> tuple[str, RoadscribeError | None]:
    try:
        data = read_inside(root, file.path, where=file.where, kind=file.kind)
    except RoadscribeError as error:
        return "", error
    digest = hashlib.sha256(data).hexdigest()
    try:
        file.check(data, file.where)
    except RoadscribeError as error:
        return digest, error
    return digest, None


def _files(parsed: ParsedDrive) -> list[_File]:
    drive = parsed.drive
    cameras = {c.name: c for c in drive.cameras if not too_large(c.width_px, c.height_px)}
    files = [
        _File(camera.ego_mask, f"camera {camera.name}, {camera.ego_mask}", ImageInvalid, _mask_check(camera))
        for camera in cameras.values()
        if camera.ego_mask
    ]
    if drive.true_map:
        files.append(_File(drive.true_map, "true_map", DriveInvalid, lambda data, where: None))
    for frame, place in zip(drive.frames, parsed.places, strict=True):
        for image in frame.images:
            camera = cameras.get(image.camera)
            if camera is None:
                continue  # reported with its camera
            files.append(_File(image.path, _at(place, image), ImageInvalid, _image_check(camera)))
            if image.id_path:
                files.append(_File(image.id_path, f"{place}, {image.id_path}", ImageInvalid, _ids_check(camera)))
        if frame.lidar_path:
            files.append(
                _File(frame.lidar_path, f"{place}, {frame.lidar_path}", DriveInvalid, _lidar_check(drive.lidar_format))
            )
    return files


def _image_check(camera: Camera) -> Callable[[bytes, str], None]:
    def check(data: bytes, where: str) -> None:
        check_image(data, width_px=camera.width_px, height_px=camera.height_px, where=where)

    return check


def _ids_check(camera: Camera) -> Callable[[bytes, str], None]:
    def check(data: bytes, where: str) -> None:
        decode_ids(data, width_px=camera.width_px, height_px=camera.height_px, where=where)

    return check


def _mask_check(camera: Camera) -> Callable[[bytes, str], None]:
    def check(data: bytes, where: str) -> None:
        decode_gray(data, width_px=camera.width_px, height_px=camera.height_px, where=where)

    return check


def _lidar_check(lidar_format: LidarFormat) -> Callable[[bytes, str], None]:
    def check(data: bytes, where: str) -> None:
        decode_sweep(data, lidar_format, where=where)

    return check
