"""The JSON of one sample: a superset of the vector JSON that MapTR reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon.drive import DriveLog
from recon.geometry import yaw_of
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.place_cells import PLACE_DEG, PLACE_M, WGS84
from vectorize.road_map import Element


def element_counts(elements: Sequence[Element]) -> dict[str, int]:
    """Return how many elements of each class there are."""
    return {name: sum(e.element_class == name for e in elements) for name in CLASS_TYPE}


def place_of(one: PseudoLabels, drive: DriveLog, local_frame: str = "") -> str:
    """Return the id of the place cell that holds the vehicle; a split by it keeps neighbouring frames together.

    Cells are degrees where the drive's origin is known, so that drives over one place agree; else metres of
    `local_frame`, which drives may share; where that is empty, they are the drive's own.
    Patches reach beyond the cell: where two splits meet they still show the same road.
    """
    xy = one.world_from_ego[:2, 3]
    if drive.origin is None:
        column, row = np.floor(xy / PLACE_M).astype(int).tolist()
        return f"{local_frame or drive.name}:{column}:{row}"
    longitude, latitude = np.floor(drive.origin.to_degrees(xy) / PLACE_DEG).astype(int).tolist()
    return f"{WGS84}:{longitude}:{latitude}"


def sample_record(
    key: str, one: PseudoLabels, labels: LabelSet, drive: DriveLog, *, local_frame: str = ""
) -> dict[str, Any]:
    """Return the sample JSON; lengths in metres, ego frame (x forward, y left, z up), see docs/labels.md."""
    frame = drive.frames[one.frame]
    return {
        "sample_token": key,
        "drive": labels.drive,
        "frame": one.frame,
        "time_ns": one.time_ns,
        "world_from_ego": one.world_from_ego.tolist(),
        "yaw_rad": round(yaw_of(one.world_from_ego), 9),
        "ground_z_ego_m": drive.ground_z_ego_m,
        "place": place_of(one, drive, local_frame),
        "patch": {"length_m": labels.length_m, "width_m": labels.width_m, "x": "forward", "y": "left"},
        "known": {
            "member": "known.png",
            "cell_m": labels.mask_cell_m,
            "shape": list(one.known.shape),
            "row_0": "farthest forward",
            "column_0": "farthest left",
            "coverage": round(one.coverage, 6),
        },
        "classes": CLASS_TYPE,
        "trips": list(labels.trips),
        "vectors": [_vector(element) for element in one.elements],
        "cameras": [
            {
                "name": camera.name,
                "width_px": camera.width_px,
                "height_px": camera.height_px,
                "model": camera.model,
                "k": camera.k.tolist(),
                "distortion": camera.distortion.tolist(),
                "ego_from_camera": camera.ego_from_camera.tolist(),
            }
            for camera in drive.cameras
        ],
        "images": [
            {
                "camera": image.camera,
                "path": image.path,
                "time_ns": image.time_ns,
                "sha256": image.sha256,
                "world_from_ego": frame.pose_of(image).tolist(),
            }
            for image in frame.images
        ],
        "provenance": labels.provenance,
    }


def _vector(element: Element) -> dict[str, Any]:
    points = np.round(element.vertices, 3) + 0.0  # millimetres; + 0.0 turns -0.0 into 0.0
    vector = {
        "pts": points[:, :2].tolist(),
        "pts_num": len(points),
        "cls_name": element.element_class,
        "type": CLASS_TYPE[element.element_class],
        "seen": element.seen.tolist(),
        "confidence": np.round(element.confidence.astype(np.float64), 4).tolist(),
        "views": element.views.tolist(),
        "trips": element.trip_numbers,
        "score": round(element.score, 4),
        "style": element.style,
        "closed": element.closed,
    }
    if points.shape[1] == 3 and np.isfinite(points[:, 2]).all():
        vector["z"] = points[:, 2].tolist()
    return vector
