"""The open drive folder: drive.json beside images, optional LiDAR, id images and a true map (docs/drive-folder.md)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import F64
from recon.artifact import write_atomic
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import CalibrationMissing, DriveInvalid, PoseInvalid
from recon.files import read_inside, real_folder
from recon.formats.drive_folder.drive_document import FILE, MOST_BYTES, VERSION, check_document, parse_json
from recon.formats.drive_problems import ParsedDrive, Problems
from recon.geo_origin import GeoOrigin
from recon.geometry import rigid_fault, rotation_from_quaternion, transform

NAME = "drive_folder"
QUATERNION_TOLERANCE = 1e-3  # accepts three decimals


def detect(path: Path) -> bool:
    """Return whether `path` is a drive folder, or the drive.json in one."""
    return (path / FILE).is_file() or (path.name == FILE and path.is_file())


def parse(path: Path, problems: Problems) -> ParsedDrive | None:
    """Read drive.json; None if nothing can be used (then a problem was added)."""
    root = real_folder(path.parent if path.name == FILE and path.is_file() else path)
    try:
        document = parse_json(read_inside(root, FILE, where=FILE, most_bytes=MOST_BYTES))
    except DriveInvalid as error:
        problems.add(error)
        return None
    faulty = check_document(document, problems)
    frame_entries, camera_entries = document.get("frames"), document.get("cameras")
    if not (isinstance(frame_entries, list) and frame_entries and isinstance(camera_entries, dict) and camera_entries):
        return None  # reported by the schema
    if problems.enough:
        return None  # the rest was not checked
    sound = {key: value for key, value in document.items() if (key,) not in faulty}
    faulty_cameras = _faults(faulty, "cameras")
    cameras: dict[str, Camera] = {}
    for name, entry in camera_entries.items():
        if name not in faulty_cameras and (camera := _camera(name, entry, problems)) is not None:
            cameras[name] = camera
    # A faulty camera was reported once; its images are not reported again.
    dropped = set(camera_entries) - set(cameras)
    faulty_frames = _faults(faulty, "frames")
    frames: list[Frame] = []
    places: list[str] = []
    unplaced: set[int] = set()
    for index, entry in enumerate(frame_entries):
        faults = faulty_frames.get(index, set())
        if not faults <= {"world_from_ego"}:
            continue
        where = f"frame {index}"
        pose = None if faults else _pose(entry["world_from_ego"], where, problems)
        if pose is None:
            unplaced.add(len(frames))
        frames.append(_frame(entry, np.eye(4) if pose is None else pose, where, dropped, problems))
        places.append(where)
    lidar = sound.get("lidar")
    drive = DriveLog(
        name=str(sound.get("name", root.name)),
        root=root,
        cameras=tuple(cameras.values()),
        frames=tuple(frames),
        ground_z_ego_m=float(sound.get("ground_z_ego_m", 0.0)),
        origin=GeoOrigin(**{k: float(v) for k, v in sound["origin"].items()}) if "origin" in sound else None,
        lidar_format="f32x4" if lidar else "",
        ego_from_lidar=_pose(lidar["ego_from_lidar"], "lidar, ego_from_lidar", problems) if lidar else None,
        true_map=sound.get("true_map", ""),
    )
    return ParsedDrive(drive=drive, places=tuple(places), unplaced=frozenset(unplaced))


def _faults(faulty: set[tuple[str | int, ...]], part: str) -> dict[str | int, set[str | int]]:
    """Return, by camera name or frame index, which of its fields are faulty ("" = the whole entry)."""
    result: dict[str | int, set[str | int]] = {}
    for place in faulty:
        if place[:1] == (part,) and len(place) > 1:
            result.setdefault(place[1], set()).add(place[2] if len(place) > 2 else "")
    return result


def _camera(name: str, entry: dict[str, Any], problems: Problems) -> Camera | None:
    where = f"camera {name}"
    ego_from_camera = _pose(entry["ego_from_camera"], f"{where}, ego_from_camera", problems)
    if ego_from_camera is None:
        return None
    fault = rigid_fault(ego_from_camera)
    if fault:
        hint = "It maps points from camera (x right, y down, z forward) to ego (x forward, y left, z up), in metres."
        problems.add(PoseInvalid(f"ego_from_camera is not a rigid transform: {fault}", where=where, hint=hint))
        return None
    k = np.array(entry["k"], dtype=np.float64)
    if not np.array_equal(k[2], (0.0, 0.0, 1.0)) or k[1, 0] != 0.0:
        hint = "K is [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels."
        problems.add(DriveInvalid("k is not a camera matrix", where=where, hint=hint))
        return None
    try:
        return Camera(
            name=name,
            width_px=entry["width_px"],
            height_px=entry["height_px"],
            k=k,
            ego_from_camera=ego_from_camera,
            distortion=np.array(entry.get("distortion", []), dtype=np.float64),
            model=entry.get("model", "pinhole"),
            ego_mask=entry.get("ego_mask", ""),
        )
    except ValueError as error:
        problems.add(DriveInvalid(str(error), where=where, hint="docs/drive-folder.md describes the calibration."))
        return None


def _frame(entry: dict[str, Any], pose: F64, where: str, dropped: set[str], problems: Problems) -> Frame:
    images = []
    for camera, value in entry["images"].items():
        if camera in dropped:
            continue
        given = {"path": value} if isinstance(value, str) else value
        own = given.get("world_from_ego")
        own_pose = None if own is None else _pose(own, f"{where}, images.{camera}", problems)
        time_ns = given.get("time_ns", entry["time_ns"])
        ids = given.get("ids", "")
        images.append(Image(camera=camera, path=given["path"], time_ns=time_ns, world_from_ego=own_pose, id_path=ids))
    return Frame(
        time_ns=entry["time_ns"],
        world_from_ego=pose,
        images=tuple(images),
        lidar_path=entry.get("lidar", ""),
        keyframe=entry.get("keyframe", True),
    )


def _pose(value: Any, where: str, problems: Problems) -> F64 | None:
    """Return the (4, 4) transform of either form; a matrix is not checked here but by the caller."""
    if isinstance(value, list):
        return np.array(value, dtype=np.float64)
    w, x, y, z = (float(number) for number in value["rotation_wxyz"])
    norm = float(np.sqrt(w * w + x * x + y * y + z * z))
    if abs(norm - 1.0) > QUATERNION_TOLERANCE:
        hint = "The order is w, x, y, z and the norm is 1."
        problems.add(PoseInvalid(f"the quaternion has norm {norm:.4g}", where=where, hint=hint))
        return None
    return transform(rotation_from_quaternion((w, x, y, z)), value["translation_m"])


def write_drive_json(drive: DriveLog, folder: Path) -> Path:
    """Write drive.json for a drive whose paths are relative to `folder`; reading it back gives an equal drive.

    Raises CalibrationMissing if the drive has LiDAR points without `ego_from_lidar`.
    """
    head: dict[str, Any] = {"format": "roadscribe-drive", "version": VERSION, "name": drive.name}
    if drive.origin is not None:
        head["origin"] = asdict(drive.origin)
    head["ground_z_ego_m"] = drive.ground_z_ego_m
    head["cameras"] = {camera.name: _camera_entry(camera) for camera in drive.cameras}
    if drive.lidar_format:
        if drive.ego_from_lidar is None:
            raise CalibrationMissing("the drive has LiDAR points without ego_from_lidar", where=drive.name)
        if drive.lidar_format != "f32x4":
            hint = "Store x, y, z, intensity as float32."
            raise DriveInvalid(f"a drive folder cannot hold {drive.lidar_format} sweeps", where=drive.name, hint=hint)
        head["lidar"] = {"format": drive.lidar_format, "ego_from_lidar": drive.ego_from_lidar.tolist()}
    if drive.true_map:
        head["true_map"] = drive.true_map
    target = folder / FILE
    write_atomic(target, _document(head, [_frame_entry(frame) for frame in drive.frames]).encode())
    return target


def _document(head: dict[str, Any], frames: list[dict[str, Any]]) -> str:
    """Return the JSON with one camera and one frame a line, so that frames are easy to find and to compare."""
    lines = [f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in head.items()]
    cameras = [f"  {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in head["cameras"].items()]
    lines[list(head).index("cameras")] = ' "cameras": {\n' + ",\n".join(cameras) + "\n }"
    moments = ",\n".join(f"  {json.dumps(frame, allow_nan=False)}" for frame in frames)
    return "{\n" + ",\n".join(lines) + ',\n "frames": [\n' + moments + "\n ]\n}\n"


def _camera_entry(camera: Camera) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "width_px": camera.width_px,
        "height_px": camera.height_px,
        "k": camera.k.tolist(),
        "model": camera.model,
        "distortion": camera.distortion.tolist(),
        "ego_from_camera": camera.ego_from_camera.tolist(),
    }
    return entry | ({"ego_mask": camera.ego_mask} if camera.ego_mask else {})


def _frame_entry(frame: Frame) -> dict[str, Any]:
    images: dict[str, Any] = {}
    for image in frame.images:
        given: dict[str, Any] = {"path": image.path}
        if image.time_ns != frame.time_ns:
            given["time_ns"] = image.time_ns
        if image.world_from_ego is not None:
            given["world_from_ego"] = image.world_from_ego.tolist()
        if image.id_path:
            given["ids"] = image.id_path
        images[image.camera] = image.path if len(given) == 1 else given
    entry = {"time_ns": frame.time_ns, "world_from_ego": frame.world_from_ego.tolist(), "images": images}
    return (
        entry
        | ({"lidar": frame.lidar_path} if frame.lidar_path else {})
        | ({} if frame.keyframe else {"keyframe": False})
    )
