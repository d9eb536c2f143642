"""Argoverse 2 sensor logs, read as they are distributed; see docs/datasets.md.

A frame is a LiDAR sweep. Sweeps are given in the ego frame at their own time; each ring image keeps its own time and
pose. Images are distributed undistorted: k1, k2 and k3 of intrinsics.feather describe the lens, not the image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.arrays import F64, I64
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import CalibrationMissing, DriveInvalid, PathRefused, PoseInvalid
from recon.files import real_folder
from recon.formats.argoverse2.city_frame import city_code, map_archive, place_world, read_ground_height
from recon.formats.argoverse2.pose_table import POSES, Poses, read_extrinsics, read_poses
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.formats.frame_images import images_of_frames
from recon.sensors.feather_table import read_columns

NAME = "argoverse2"
# The grey stereo pair is left out: it covers the view of the front camera.
CAMERAS = (
    "ring_front_center",
    "ring_front_left",
    "ring_front_right",
    "ring_side_left",
    "ring_side_right",
    "ring_rear_left",
    "ring_rear_right",
)
AXLE_HEIGHT_M = 0.33  # of the ego frame above the road, where the log has no ground height
SWEEP_NS = 100_000_000  # the LiDARs turn ten times a second
_INTRINSICS, _EXTRINSICS = "calibration/intrinsics.feather", "calibration/egovehicle_SE3_sensor.feather"
_HINT = "Restore the file as Argoverse 2 distributes it."


def detect(path: Path) -> bool:
    """Return whether `path` is an Argoverse 2 sensor log."""
    return (path / POSES).is_file()


def parse(path: Path, problems: Problems) -> ParsedDrive | None:
    """Read poses and calibration; None if nothing can be used (then a problem was added)."""
    root = real_folder(path)
    try:
        poses = read_poses(root)
        world_from_city, origin = place_world(city_code(root), poses.city_from_ego[0, :3, 3])
        ground_z_ego_m = _ground_z(root, poses)
        images = {name: files for name in CAMERAS if (files := _stamped(root, f"sensors/cameras/{name}", ".jpg"))}
        cameras = _cameras(root, tuple(images)) if images else ()
        sweeps = _stamped(root, "sensors/lidar", ".feather")
    except (DriveInvalid, PathRefused) as error:
        problems.add(error)
        return None
    moments = _moments(np.array(sorted(sweeps), dtype=np.int64), poses)
    shared = {name: _images_of_moments(files, moments) for name, files in images.items()}
    frames: list[Frame] = []
    places: list[str] = []
    for index, time_ns in enumerate(moments.tolist()):
        sweep = sweeps.get(time_ns, "")
        place = f"sweep {time_ns}" if sweep else f"time {time_ns}"
        taken = {name: times[index] for name, times in shared.items() if index in times}
        try:
            pose = world_from_city @ poses.at(time_ns, where=sweep or place)
            found = [_image(images[name][at], name, at, poses, world_from_city) for name, at in taken.items()]
        except PoseInvalid as error:
            problems.add(error)
            continue
        # A frame of a pose alone only continues the path; it has nothing to label.
        frame = Frame(time_ns=time_ns, world_from_ego=pose, images=tuple(found), lidar_path=sweep)
        frames.append(frame if sweep or found else _path_only(frame))
        places.append(place)
    drive = DriveLog(
        name=root.name,
        root=root,
        cameras=cameras,
        frames=tuple(frames),
        ground_z_ego_m=ground_z_ego_m,
        origin=origin,
        lidar_format="feather" if sweeps else "",
        ego_from_lidar=np.eye(4) if sweeps else None,
        true_map=map_archive(root),
    )
    # Parts of the data set are often fetched alone: the message states what this part can be used for.
    truth = " and the true map" if drive.true_map else ""
    without_images = (
        f"Fetch sensors/cameras/ring_* to label this log; without them its {len(poses.time_ns)} poses,"
        f" {len(sweeps)} LiDAR sweep{'s'[: len(sweeps) != 1]}{truth} can be read."
    )
    return ParsedDrive(drive=drive, places=tuple(places), without_images=without_images)


def _path_only(frame: Frame) -> Frame:
    return Frame(time_ns=frame.time_ns, world_from_ego=frame.world_from_ego, images=(), keyframe=False)


def _moments(sweeps_ns: I64, poses: Poses) -> I64:
    """Return the times of the frames: the sweeps, and every tenth of a second of the poses where sweeps are missing."""
    start, end = int(poses.time_ns[0]), int(poses.time_ns[-1])
    if not len(sweeps_ns):
        return np.arange(start, end + 1, SWEEP_NS, dtype=np.int64)
    # The grid keeps the phase of the sweeps, so that its times lie as near to images as those of the missing sweeps.
    phase = int(sweeps_ns[0] - start) % SWEEP_NS
    grid = np.arange(start + phase, end + 1, SWEEP_NS, dtype=np.int64)
    after = np.searchsorted(sweeps_ns, grid)
    left, right = sweeps_ns[np.maximum(after - 1, 0)], sweeps_ns[np.minimum(after, len(sweeps_ns) - 1)]
    far = np.minimum(np.abs(grid - left), np.abs(grid - right)) > 0.75 * SWEEP_NS
    return np.unique(np.concatenate([sweeps_ns, grid[far]]))


def _images_of_moments(files: dict[int, str], moments: I64) -> dict[int, int]:
    return images_of_frames(np.array(sorted(files), dtype=np.int64), moments, reach_ns=SWEEP_NS // 2)


def _image(path: str, camera: str, time_ns: int, poses: Poses, world_from_city: F64) -> Image:
    pose = world_from_city @ poses.at(time_ns, where=path)
    return Image(camera=camera, path=path, time_ns=time_ns, world_from_ego=pose)


def _stamped(root: Path, folder: str, suffix: str) -> dict[int, str]:
    """Return time (ns) -> path of a sensor's files, which are named after their time."""
    result = {}
    for file in sorted((root / folder).glob(f"*{suffix}")):
        name = f"{folder}/{file.name}"
        if not (file.stem.isascii() and file.stem.isdecimal() and len(file.stem) <= 19):
            raise DriveInvalid(f"{file.name} is not named after its time in nanoseconds", where=name, hint=_HINT)
        result[int(file.stem)] = name
    return result


def _ground_z(root: Path, poses: Poses) -> float:
    """Return the height of the road under the vehicle in the ego frame, measured where the ground height is known."""
    ground = read_ground_height(root)
    if ground is None:
        return -AXLE_HEIGHT_M
    position = poses.city_from_ego[::10, :3, 3]
    height, known = ground.at(position[:, :2])
    return float(np.median((height - position[:, 2])[known])) if known.any() else -AXLE_HEIGHT_M


def _cameras(root: Path, names: tuple[str, ...]) -> tuple[Camera, ...]:
    columns = ("sensor_name", "fx_px", "fy_px", "cx_px", "cy_px", "width_px", "height_px")
    table = read_columns(root, _INTRINSICS, columns, kind=CalibrationMissing)
    ego_from_sensor = read_extrinsics(root, _EXTRINSICS)
    rows = {str(name): row for row, name in enumerate(table["sensor_name"].tolist())}
    cameras = []
    for name in names:
        if name not in rows or name not in ego_from_sensor:
            file = _EXTRINSICS if name in rows else _INTRINSICS
            raise CalibrationMissing(f"{name} has images but no calibration", where=file, hint=_HINT)
        row = rows[name]
        fx, fy, cx, cy = (float(np.float64(table[column][row])) for column in columns[1:5])
        try:
            camera = Camera(
                name=name,
                width_px=int(np.int64(table["width_px"][row])),
                height_px=int(np.int64(table["height_px"][row])),
                # Counted from the centre of the first pixel, Roadscribe counts from its corner.
                k=np.array([[fx, 0.0, cx + 0.5], [0.0, fy, cy + 0.5], [0.0, 0.0, 1.0]]),
                ego_from_camera=ego_from_sensor[name],
                distortion=np.zeros(0),
            )
        except ValueError as error:
            raise CalibrationMissing(str(error), where=f"{_INTRINSICS}, row {row}", hint=_HINT) from error
        cameras.append(camera)
    return tuple(cameras)
