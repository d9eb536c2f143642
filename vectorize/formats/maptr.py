"""LabelSet as the annotation files of MapTR and MapTRv2, in JSON: Roadscribe writes and reads no pickle."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from recon.arrays import F64
from recon.drive import DriveLog, Frame, Image
from recon.errors import ArtifactInvalid
from recon.geometry import invert, quaternion_from_rotation
from vectorize.formats.exported_files import ExportedFiles, json_bytes
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import key_prefix, sample_key
from vectorize.road_map import Element

LOSES = (
    "the known mask, seen, confidence, score, style, views and trips: training on this file treats unseen ground as"
    " empty",
    "stop lines: MapTR has no such class",
    "height: points have two coordinates",
)
LOSES_V2 = (
    *LOSES,
    "LiDAR sweeps and CAN bus: paths are empty and the CAN bus vector is 18 zeros",
    "image distortion: the format has no such parameters, so undistort the images first",
)
CLASSES = {"divider": 0, "ped_crossing": 1, "boundary": 2, "centerline": 3}


def write_maptr(name: str, labels: LabelSet, drive: DriveLog) -> ExportedFiles:
    """Return `<name>_maptr_anns.json`, the ground truth that MapTR's evaluation loads: x right, y forward, metres."""
    prefix = key_prefix(labels, drive)
    samples, notes = [], _left_out(labels)
    for one in labels.labels:
        vectors = [
            {"pts": points, "pts_num": len(points), "cls_name": e.element_class, "type": CLASSES[e.element_class]}
            for e, points in _lines(one)
        ]
        samples.append({"sample_token": sample_key(prefix, one), "vectors": vectors})
    return ExportedFiles(files={f"{name}_maptr_anns.json": json_bytes({"GTs": samples})}, notes=notes)


def write_maptr_results(name: str, labels: LabelSet, drive: DriveLog) -> ExportedFiles:
    """Return `<name>_maptr_results.json`: predictions as MapTR's evaluation loads them, each with its score."""
    prefix = key_prefix(labels, drive)
    results = []
    for one in labels.labels:
        vectors = [
            {
                "pts": points,
                "pts_num": len(points),
                "cls_name": element.element_class,
                "type": CLASSES[element.element_class],
                "confidence_level": round(element.score, 6),
            }
            for element, points in _lines(one)
        ]
        results.append({"sample_token": sample_key(prefix, one), "vectors": vectors})
    meta = {"use_lidar": False, "use_camera": True, "use_radar": False, "use_map": False, "use_external": False}
    body = {"meta": meta, "results": results}
    return ExportedFiles(files={f"{name}_maptr_results.json": json_bytes(body)}, notes=_left_out(labels))


def write_maptrv2(name: str, labels: LabelSet, drive: DriveLog) -> ExportedFiles:
    """Return `<name>_maptrv2_infos.json`: what MapTRv2's converter pickles, one info per keyframe.

    The LiDAR frame of the format (x right, y forward) has the origin of the ego frame. Matrices are lists;
    docs/exports.md shows the few lines that convert them to arrays and a pickle.
    """
    prefix = key_prefix(labels, drive)
    keys = [sample_key(prefix, one) for one in labels.labels]
    infos = []
    for i, one in enumerate(labels.labels):
        frame = drive.frames[one.frame]
        annotation: dict[str, list[Any]] = {name: [] for name in CLASSES}
        for element, points in _lines(one):
            annotation[element.element_class].append(points)
        ego = one.world_from_ego
        infos.append(
            {
                "token": keys[i],
                "prev": keys[i - 1] if i else "",
                "next": keys[i + 1] if i + 1 < len(keys) else "",
                "scene_token": labels.drive,
                "frame_idx": i,
                "map_location": labels.drive,
                "timestamp": one.time_ns // 1000,  # microseconds, as in nuScenes
                "lidar_path": "",
                "sweeps": [],
                "can_bus": [0.0] * 18,
                "lidar2ego_translation": [0.0, 0.0, 0.0],
                "lidar2ego_rotation": quaternion_from_rotation(EGO_FROM_LIDAR[:3, :3]).tolist(),
                "ego2global_translation": ego[:3, 3].tolist(),
                "ego2global_rotation": quaternion_from_rotation(ego[:3, :3]).tolist(),
                "cams": {image.camera: _camera(drive, frame, image) for image in frame.images},
                "annotation": annotation,
            }
        )
    body = {"infos": infos, "metadata": {"version": "roadscribe"}}
    notes = list(_left_out(labels))
    bent = [camera.name for camera in drive.cameras if np.any(camera.distortion) or camera.model != "pinhole"]
    if bent:
        notes.append(f"the images of {', '.join(bent)} are distorted, which the file cannot state")
    return ExportedFiles(files={f"{name}_maptrv2_infos.json": json_bytes(body)}, notes=tuple(notes))


# x right, y forward, z up, at the ego frame's origin.
EGO_FROM_LIDAR: F64 = np.array(
    [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def _lines(one: PseudoLabels) -> list[tuple[Element, list[list[float]]]]:
    """Return the elements of MapTR's classes with points (x right, y forward); rings repeat their first point."""
    result = []
    for element in one.elements:
        if element.element_class not in CLASSES:
            continue
        flat = element.vertices[:, :2]
        if not np.isfinite(flat).all():
            raise ArtifactInvalid(
                "a vertex of the labels is not finite", where=f"frame {one.frame}", hint="Run the job again."
            )
        swapped: F64 = np.stack([-flat[:, 1], flat[:, 0]], axis=1)
        points = np.round(swapped, 3, out=swapped) + 0.0
        result.append((element, [*points.tolist(), *(points[:1].tolist() if element.closed else [])]))
    return result


def _left_out(labels: LabelSet) -> tuple[str, ...]:
    counts = Counter(e.element_class for one in labels.labels for e in one.elements if e.element_class not in CLASSES)
    return tuple(f"{count} {name} vectors are left out" for name, count in sorted(counts.items()))


def _camera(drive: DriveLog, frame: Frame, image: Image) -> dict[str, Any]:
    camera = drive.camera(image.camera)
    world_from_camera = frame.pose_of(image) @ camera.ego_from_camera
    lidar_from_camera = invert(frame.world_from_ego @ EGO_FROM_LIDAR) @ world_from_camera
    pose = frame.pose_of(image)
    return {
        "data_path": str(drive.root / image.path),
        "type": image.camera,
        "sample_data_token": f"{image.camera}-{image.time_ns}",
        "timestamp": image.time_ns // 1000,
        "sensor2ego_translation": camera.ego_from_camera[:3, 3].tolist(),
        "sensor2ego_rotation": quaternion_from_rotation(camera.ego_from_camera[:3, :3]).tolist(),
        "ego2global_translation": pose[:3, 3].tolist(),
        "ego2global_rotation": quaternion_from_rotation(pose[:3, :3]).tolist(),
        "sensor2lidar_rotation": lidar_from_camera[:3, :3].tolist(),
        "sensor2lidar_translation": lidar_from_camera[:3, 3].tolist(),
        "cam_intrinsic": camera.k.tolist(),
    }
