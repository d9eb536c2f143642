"""Pictures of predictions: over the labels and the mask in bird's-eye, and in the camera images through the lens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from recon.arrays import F64, U8
from recon.drive import Camera
from recon.sensors.image_file import decode_rgb
from recon.sensors.project import on_ground, project
from training.data.rig import camera_of
from vectorize import polyline
from vectorize.evaluate.match_pictures import patch_picture, plain_picture
from vectorize.evaluate.patch import Patch
from vectorize.labels.shard import Sample
from vectorize.labels.view_members import member_name
from vectorize.publish.pictures import COLORS_BGR, WIDTH_PX
from vectorize.road_map import Element

CAMERA_PX = 480  # width of a camera's picture
COLUMNS = 3
STEP_M = 0.25
FARTHEST_M = 45.0
LABEL_RGB = (235, 235, 235)


def sheet(sample: Sample, patch: Patch) -> U8:
    """Return (H, W, 3) RGB: the bird's-eye view above the camera images; labels white, predictions by class.

    Where the patch has a truth, the bird's-eye view shows what was found, missed and false instead of classes.
    """
    drawn = patch_picture(patch) if patch.true else plain_picture(patch)
    cameras = camera_pictures(sample, patch.predicted, labels=patch.true)
    rows = [np.ascontiguousarray(drawn[..., ::-1]), *_rows(list(cameras.values()))]
    width = max(row.shape[1] for row in rows)
    return np.concatenate([_wide(row, width) for row in rows])


def camera_pictures(sample: Sample, predicted: Sequence[Element], labels: Sequence[Element] = ()) -> dict[str, U8]:
    """Return for each image of a sample an RGB picture with elements (ego frame) on the vehicle's ground plane."""
    record = sample.record
    poses = {image["camera"]: np.array(image["world_from_ego"]) for image in record["images"]}
    pictures = {}
    for entry in record["cameras"]:
        name, camera = entry["name"], camera_of(entry)
        data = sample.images.get(member_name(name))
        if data is None or name not in poses:
            continue
        picture = _image(data, camera, f"{sample.key}: {name}")
        scale = picture.shape[1] / camera.width_px
        for elements, thin in ((labels, True), (predicted, False)):
            for element in elements:
                world = _on_ground(element, np.array(record["world_from_ego"]), float(record["ground_z_ego_m"]))
                color = LABEL_RGB if thin else COLORS_BGR[element.element_class][::-1]
                _draw(picture, world, camera, poses[name], scale, color, 1 if thin else WIDTH_PX[element.element_class])
        pictures[name] = picture
    return pictures


def _image(data: bytes, camera: Camera, where: str) -> U8:
    decoded = decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=where)
    height = round(camera.height_px * CAMERA_PX / camera.width_px)
    method = cv2.INTER_AREA if camera.width_px > CAMERA_PX else cv2.INTER_CUBIC
    resized: Any = cv2.resize(decoded, (CAMERA_PX, height), interpolation=method)
    result: U8 = np.ascontiguousarray(resized)
    return result


def _on_ground(element: Element, world_from_ego: F64, ground_z_ego_m: float) -> F64:
    vertices = element.vertices
    line = np.concatenate([vertices, vertices[:1]]) if element.closed else vertices
    xy = line[:, :2] @ world_from_ego[:2, :2].T
    shift = world_from_ego[:2, 3] + ground_z_ego_m * world_from_ego[:2, 2]
    return polyline.resample(on_ground(xy + shift, world_from_ego, ground_z_ego_m), STEP_M)


def _draw(
    picture: U8, world: F64, camera: Camera, pose: F64, scale: float, color: Sequence[int], width_px: int
) -> None:
    uv, depth, visible = project(camera, pose, world)
    for start, stop in polyline.runs(visible & (depth < FARTHEST_M)):
        if stop - start >= 2:
            points = np.round((uv[start:stop] * scale - 0.5) * 16).astype(np.int32)
            cv2.polylines(picture, [points], False, tuple(color), width_px, cv2.LINE_AA, 4)


def _rows(pictures: list[U8]) -> list[U8]:
    """Return pictures in rows of COLUMNS, each row of one height."""
    rows = []
    for start in range(0, len(pictures), COLUMNS):
        part = pictures[start : start + COLUMNS]
        height = max(p.shape[0] for p in part)
        padded = [cv2.copyMakeBorder(p, 0, height - p.shape[0], 0, 0, cv2.BORDER_CONSTANT) for p in part]
        rows.append(np.concatenate([np.asarray(p, dtype=np.uint8) for p in padded], axis=1))
    return rows


def _wide(picture: U8, width: int) -> U8:
    if picture.shape[1] == width:
        return picture
    missing = width - picture.shape[1]
    result: Any = cv2.copyMakeBorder(picture, 0, 0, 0, missing, cv2.BORDER_CONSTANT)
    return np.asarray(result, dtype=np.uint8)
