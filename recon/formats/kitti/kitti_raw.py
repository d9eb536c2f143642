"""KITTI raw: a `<date>_drive_<number>_sync` folder with the day's calibration files in its parent.

The ego frame is the IMU's (x forward, y left, z up). The devkit's Mercator metres are 0.2 % short in the east at
KITTI's latitude. Local metres come from GeoOrigin instead, which also converts labels back to WGS84.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recon.arrays import F64
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import CalibrationMissing, DriveEmpty, DriveInvalid, ImageInvalid, PathRefused, PoseInvalid
from recon.files import read_inside, real_folder
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.geo_origin import GeoOrigin
from recon.geometry import invert, rotation_from_euler, transform
from recon.sensors.image_file import image_size

NAME = "kitti_raw"
CAMERAS = ("image_02", "image_03")  # the colour pair
IMU_HEIGHT_M = 0.93  # above the road, from the sensor set-up drawing of the data set
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{1,9})")
_ORIGINAL = "Restore the file as KITTI distributes it."


def detect(path: Path) -> bool:
    """Return whether `path` is a synchronised KITTI raw drive."""
    return (path / "oxts" / "data").is_dir()


def parse(path: Path, problems: Problems) -> ParsedDrive | None:
    """Read poses and calibration; None if nothing can be used (then a problem was added)."""
    root = real_folder(path)
    stems = sorted(file.stem for file in (root / "oxts" / "data").glob("*.txt"))
    if not stems:
        problems.add(DriveEmpty("oxts/data holds no poses", where=root.name, hint=_ORIGINAL))
        return None
    try:
        ego_from_velo = invert(_extrinsics(root.parent, "calib_imu_to_velo.txt"))
        rect_from_ego = _rect_from_velo(root.parent) @ invert(ego_from_velo)
        pose_times = _times(root, "oxts")
        cameras = {name: _camera(root, name, rect_from_ego) for name in CAMERAS if (root / name / "data").is_dir()}
        image_times = {name: _times(root, name) for name in cameras}
    except DriveInvalid as error:
        problems.add(error)
        return None
    if not cameras:
        problems.add(DriveEmpty("neither image_02 nor image_03 exists", where=root.name, hint=_ORIGINAL))
        return None
    frames: list[Frame] = []
    places: list[str] = []
    origin: GeoOrigin | None = None
    for stem in stems:
        place = f"frame {stem}"
        try:
            oxts = _oxts(root, stem, place)
            if origin is None:
                origin = GeoOrigin(latitude_deg=float(oxts[0]), longitude_deg=float(oxts[1]), altitude_m=float(oxts[2]))
            image_ns = {name: _time_of(image_times[name], stem, name, place) for name in cameras}
            frames.append(_frame(root, stem, oxts, origin, _time_of(pose_times, stem, "oxts", place), image_ns))
        except (DriveInvalid, PathRefused) as error:
            problems.add(error)
            continue
        places.append(place)
    lidar = any(frame.lidar_path for frame in frames)
    drive = DriveLog(
        name=root.name,
        root=root,
        cameras=tuple(cameras.values()),
        frames=tuple(frames),
        ground_z_ego_m=-IMU_HEIGHT_M,
        origin=origin,
        lidar_format="f32x4" if lidar else "",
        ego_from_lidar=ego_from_velo if lidar else None,
    )
    return ParsedDrive(drive=drive, places=tuple(places))


def _frame(root: Path, stem: str, oxts: F64, origin: GeoOrigin, time_ns: int, image_ns: dict[str, int]) -> Frame:
    east, north = origin.to_metres(oxts[[1, 0]])
    roll, pitch, yaw = oxts[3:6]
    rotation = rotation_from_euler(yaw_rad=yaw, pitch_rad=pitch, roll_rad=roll)
    lidar = f"velodyne_points/data/{stem}.bin"
    return Frame(
        time_ns=time_ns,
        world_from_ego=transform(rotation, (east, north, oxts[2] - origin.altitude_m)),
        images=tuple(
            Image(camera=name, path=f"{name}/data/{stem}.png", time_ns=at_ns) for name, at_ns in image_ns.items()
        ),
        lidar_path=lidar if (root / lidar).exists() else "",
    )


def _oxts(root: Path, stem: str, place: str) -> F64:
    """Return latitude and longitude (degrees), altitude (m), roll, pitch and yaw (rad) of one frame."""
    name = f"oxts/data/{stem}.txt"
    try:
        values = np.array([float(word) for word in _text(root, name, place).split()[:6]])
    except ValueError as error:
        raise PoseInvalid(f"{name} holds a word that is not a number", where=place, hint=_ORIGINAL) from error
    if values.shape != (6,) or not np.isfinite(values).all():
        raise PoseInvalid(f"{name} does not hold a finite pose", where=place, hint=_ORIGINAL)
    if abs(values[0]) > 85 or abs(values[1]) > 180:
        raise PoseInvalid(f"{name}: latitude {values[0]}, longitude {values[1]}", where=place, hint=_ORIGINAL)
    return values


def _times(root: Path, sensor: str) -> list[int]:
    """Return the int64 nanoseconds (UTC) of each line of a sensor's timestamps.txt."""
    name = f"{sensor}/timestamps.txt"
    times = []
    for number, line in enumerate(_text(root, name, name).splitlines()):
        match = _STAMP.fullmatch(line.strip())
        try:
            if match is None:
                raise ValueError(line)
            seconds = int(datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp())
        except ValueError as error:
            raise DriveInvalid(
                "the line is not a time stamp", where=f"{name}, line {number + 1}", hint=_ORIGINAL
            ) from error
        times.append(seconds * 1_000_000_000 + int(match[2].ljust(9, "0")))
    return times


def _time_of(times: list[int], stem: str, sensor: str, place: str) -> int:
    if not stem.isdecimal() or int(stem) >= len(times):
        message = f"{sensor}/timestamps.txt has {len(times)} lines, but no line for this frame"
        raise DriveInvalid(message, where=place, hint=_ORIGINAL)
    return times[int(stem)]


def _camera(root: Path, name: str, rect_from_ego: F64) -> Camera:
    number = name.removeprefix("image_")
    calibration = _calibration(root.parent, "calib_cam_to_cam.txt")
    projection = _entry(calibration, f"P_rect_{number}", 12, "calib_cam_to_cam.txt").reshape(3, 4)
    k = projection[:, :3].copy()
    if not (k[0, 0] > 0 and k[1, 1] > 0):
        raise CalibrationMissing(f"P_rect_{number} has no focal length", where="calib_cam_to_cam.txt", hint=_ORIGINAL)
    camera_from_rect = transform(np.eye(3), np.linalg.solve(k, projection[:, 3]))
    first = min((file.name for file in (root / name / "data").iterdir()), default="")
    if not first:
        raise DriveEmpty(f"{name}/data holds no image", where=root.name, hint=_ORIGINAL)
    where = f"{name}/data/{first}"
    width, height = image_size(read_inside(root, where, where=where, kind=ImageInvalid), where=where)
    size = _entry(calibration, f"S_rect_{number}", 2, "calib_cam_to_cam.txt")
    if np.abs(size - (width, height)).max() > 1:
        message = f"the images have {width} x {height} px, S_rect_{number} gives {size[0]:g} x {size[1]:g} px"
        raise CalibrationMissing(message, where=where, hint="Scale S_rect and P_rect together with the images.")
    # KITTI counts from the centre of the first pixel, Roadscribe from its corner.
    k[:2, 2] += 0.5
    return Camera(
        name=name,
        width_px=width,
        height_px=height,
        k=k,
        ego_from_camera=invert(camera_from_rect @ rect_from_ego),
        distortion=np.zeros(0),
    )


def _rect_from_velo(folder: Path) -> F64:
    rectify = _entry(_calibration(folder, "calib_cam_to_cam.txt"), "R_rect_00", 9, "calib_cam_to_cam.txt")
    return transform(rectify.reshape(3, 3), np.zeros(3)) @ _extrinsics(folder, "calib_velo_to_cam.txt")


def _extrinsics(folder: Path, name: str) -> F64:
    calibration = _calibration(folder, name)
    return transform(_entry(calibration, "R", 9, name).reshape(3, 3), _entry(calibration, "T", 3, name))


def _calibration(folder: Path, name: str) -> dict[str, str]:
    try:
        lines = _text(folder, name, name).splitlines()
    except DriveInvalid as error:
        hint = "Unpack the day's calibration beside the drive folder."
        raise CalibrationMissing(f"{error.message}", where=name, hint=hint) from error
    return {key.strip(): value for key, _, value in (line.partition(":") for line in lines)}


def _entry(calibration: dict[str, str], key: str, count: int, name: str) -> F64:
    try:
        values = np.array([float(word) for word in calibration[key].split()])
    except KeyError as error:
        raise CalibrationMissing(f"{key} is missing", where=name, hint=_ORIGINAL) from error
    except ValueError as error:
        raise CalibrationMissing(f"{key} holds a word that is not a number", where=name, hint=_ORIGINAL) from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise CalibrationMissing(f"{key} is not {count} finite numbers", where=name, hint=_ORIGINAL)
    return values


def _text(root: Path, name: str, where: str) -> str:
    return read_inside(root, name, where=where).decode("utf-8", "replace")
