"""Polylines projected into camera images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from recon.arrays import F64, U8
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import ImageInvalid
from recon.files import check_unchanged, read_inside
from recon.sensors.image_file import decode_rgb
from recon.sensors.project import project
from vectorize import polyline
from vectorize.road_map import Element, RoadMap

FARTHEST_M = 50.0
STEP_M = 0.25
WIDTH_PX = 1280  # small images are enlarged to this width, so that lines stay finer than the paint
SHEET_PX = 960


def draw_overlays(
    drive: DriveLog,
    road_map: RoadMap,
    *,
    count: int,
    colors: Mapping[str, tuple[int, int, int]],
    widths: Mapping[str, int],
) -> Iterator[tuple[str, U8]]:
    """Yield (name, BGR picture) of evenly spread frames of the front camera, then a contact sheet."""
    camera = max(drive.cameras, key=lambda c: float(c.ego_from_camera[0, 2]))
    usable = [(i, frame, image) for i, frame, image in drive.images() if image.camera == camera.name]
    chosen = np.unique(np.linspace(0, len(usable) - 1, max(1, count)).round().astype(int)).tolist() if usable else []
    small = []
    for number, position in enumerate(chosen):
        index, frame, image = usable[position]
        picture = overlay(drive, camera, frame, image, road_map, colors, widths)
        _caption(picture, f"frame {index}  {camera.name}")
        yield f"overlay_{number}", picture
        height = round(picture.shape[0] * SHEET_PX / picture.shape[1])
        small.append(cv2.resize(picture, (SHEET_PX, height), interpolation=cv2.INTER_AREA))
    if small:
        if len(small) % 2:
            small.append(np.zeros_like(small[0]))
        yield "overlays", np.vstack([np.hstack(small[i : i + 2]) for i in range(0, len(small), 2)])


def overlay(
    drive: DriveLog,
    camera: Camera,
    frame: Frame,
    image: Image,
    road_map: RoadMap,
    colors: Mapping[str, tuple[int, int, int]],
    widths: Mapping[str, int],
) -> U8:
    """Return an image with the elements within FARTHEST_M; ImageInvalid if the file changed or does not decode."""
    data = read_inside(drive.root, image.path, where=image.path, kind=ImageInvalid)
    check_unchanged(data, image.sha256, where=image.path, kind=ImageInvalid)
    # As everywhere: K belongs to the pixels as they are stored, so rotation tags are ignored.
    rgb = decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=image.path)
    picture: Any = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    scale = max(1, round(WIDTH_PX / picture.shape[1]))
    if scale > 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    for element in road_map.elements:
        for points in _stretches(element, camera, frame.pose_of(image)):
            fixed = [np.round((points * scale - 0.5) * 16).astype(np.int32)]
            cv2.polylines(
                picture, fixed, False, colors[element.element_class], widths[element.element_class], cv2.LINE_AA, 4
            )
    result: U8 = picture
    return result


def _stretches(element: Element, camera: Camera, world_from_ego: F64) -> Iterator[F64]:
    """Yield pixel polylines of the parts in front of the camera and in its image."""
    world = element.vertices
    if world.shape[1] == 2 or not np.isfinite(world).all():
        return
    world = np.concatenate([world, world[:1]]) if element.closed else world
    dense = polyline.resample(world, STEP_M)
    uv, depth, visible = project(camera, world_from_ego, dense)
    for start, stop in polyline.runs(visible & (depth < FARTHEST_M)):
        if stop - start >= 2:
            yield uv[start:stop]


def _caption(picture: U8, text: str) -> None:
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(picture, text, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, color, width, cv2.LINE_AA)
