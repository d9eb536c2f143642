"""The camera members of a sample: images, class ids and LiDAR depth, as recorded or made smaller alike.

All members of one camera have the size that the sample's record states, and K belongs to that size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePosixPath

import cv2
import numpy as np

from recon.arrays import F64, U8, U16, AnyArray
from recon.classes import CLASS_COUNT, RoadClass
from recon.drive import Camera, DriveLog, Frame, Image
from recon.errors import ImageInvalid, InputInvalid
from recon.files import check_unchanged, read_inside
from recon.geometry import apply
from recon.segment.frame_labels import FrameLabels
from recon.segment.net_frame import Size, resized, scale_of
from recon.sensors.image_file import decode_ids, decode_rgb
from recon.sensors.lidar import MIN_RANGE_M
from recon.sensors.project import project
from recon.sensors.sweep import decode_sweep
from vectorize.config import PackConfig

DEPTH_UNIT_M = 0.01  # of the numbers in a depth member; 16 bits reach 655 m
IDS, DEPTH = "ids.png", "depth.png"

IdsOf = Callable[[int, Image], U8 | None]  # frame index, image -> RoadClass ids (H, W); None where there are none

# A line of paint is narrower than a pixel of a small image: it wins where it covers a quarter of it.
_WORTH = np.ones(CLASS_COUNT, dtype=np.float32)
_WORTH[[RoadClass.LANE_MARKING, RoadClass.CURB, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING]] = 3.0


def member_name(camera: str) -> str:
    """Return a name as part of a member's name: WebDataset splits those at the first dot."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", camera).strip("-") or "drive"


def stored_camera(camera: Camera, config: PackConfig) -> Camera:
    """Return the camera of the stored images: the recorded one, or shrunk into `image_px` with its aspect kept.

    Edges of pixels map to edges of pixels, so with centres at +0.5 both rows of K scale; angles stay, distortion too.
    """
    recorded = (camera.width_px, camera.height_px)
    factor = scale_of(recorded, config.image_px) if any(config.image_px) else 1.0
    if factor >= 1.0:
        return camera
    width, height = (max(1, round(side * factor)) for side in recorded)
    scale = np.diag([width / recorded[0], height / recorded[1], 1.0])
    return replace(camera, width_px=width, height_px=height, k=scale @ camera.k)


def stored_drive(drive: DriveLog, config: PackConfig) -> DriveLog:
    """Return the drive with the cameras of the stored images."""
    return replace(drive, cameras=tuple(stored_camera(camera, config) for camera in drive.cameras))


def view_members(
    index: int, frame: Frame, drive: DriveLog, config: PackConfig, ids_of: IdsOf | None
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of what is stored of a frame's images.

    An image that could not be segmented has no ids. Raises ImageInvalid for an image that is missing or changed,
    DriveInvalid for such a sweep, and InputInvalid if ids are wanted and there is no reader of them.
    """
    points = _sweep(index, frame, drive) if config.with_depth else np.zeros((0, 3))
    for image in frame.images:
        name, camera = member_name(image.camera), drive.camera(image.camera)
        stored = stored_camera(camera, config)
        size = (stored.width_px, stored.height_px)
        if config.with_images:
            yield _image(index, image, drive, camera, size, config)
        if config.with_ids:
            if ids_of is None:
                raise InputInvalid("no class ids are at hand", where=drive.name, hint="Leave out pack.with_ids.")
            ids = ids_of(index, image)
            if ids is not None:
                yield f"{name}.{IDS}", _png(smaller_ids(ids, size))
        if config.with_depth:
            yield f"{name}.{DEPTH}", _png(_depth(points, stored, frame.pose_of(image)))


def ids_of_labels(labels: FrameLabels) -> IdsOf:
    """Return a reader of the ids of segmented images."""
    files = {(one.frame, one.camera): one for one in labels.images}

    def read(frame: int, image: Image) -> U8 | None:
        found = files.get((frame, image.camera))
        return None if found is None else labels.read(found).ids

    return read


def ids_of_drive(drive: DriveLog) -> IdsOf:
    """Return a reader of the drive's own id images; raises InputInvalid if it has none."""
    if not any(image.id_path for _, _, image in drive.images()):
        raise InputInvalid("the drive has no id images", where=drive.name, hint="Leave out pack.with_ids.")

    def read(frame: int, image: Image) -> U8 | None:
        if not image.id_path:
            return None
        where, camera = f"frame {frame}, {image.id_path}", drive.camera(image.camera)
        data = read_inside(drive.root, image.id_path, where=where, kind=ImageInvalid)
        check_unchanged(data, drive.file_sha256.get(image.id_path, ""), where=where, kind=ImageInvalid)
        return decode_ids(data, width_px=camera.width_px, height_px=camera.height_px, where=where)

    return read


def smaller_ids(ids: U8, size_px: Size) -> U8:
    """Return class ids (H, W) at a smaller size: what covers most of a pixel, thin paint counted threefold."""
    if ids.shape[::-1] == size_px:
        return ids
    best, result = np.zeros(size_px[::-1], np.float32), np.zeros(size_px[::-1], np.uint8)
    for one in np.flatnonzero(np.bincount(ids.ravel(), minlength=CLASS_COUNT)).tolist():
        share = resized((ids == one).astype(np.float32), size_px) * _WORTH[one]
        result[share > best] = one
        best = np.maximum(best, share)
    return result


def _image(
    index: int, image: Image, drive: DriveLog, camera: Camera, size: Size, config: PackConfig
) -> tuple[str, bytes]:
    where = f"frame {index}, {image.path}"
    data = read_inside(drive.root, image.path, where=where, kind=ImageInvalid)
    # Not only damage: a file swapped for a link must not leave the machine in a shard.
    check_unchanged(data, image.sha256, where=where, kind=ImageInvalid)
    name = member_name(image.camera)
    if size == (camera.width_px, camera.height_px):
        return f"{name}{PurePosixPath(image.path).suffix.lower()}", data
    rgb = resized(decode_rgb(data, width_px=camera.width_px, height_px=camera.height_px, where=where), size)
    done, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])
    if not done:
        raise AssertionError("an image did not encode as JPEG")
    return f"{name}.jpg", jpeg.tobytes()


def _sweep(index: int, frame: Frame, drive: DriveLog) -> F64:
    """Return the world points (L, 3) of a frame's LiDAR sweep; none without one."""
    if not frame.lidar_path or drive.ego_from_lidar is None:
        return np.zeros((0, 3))
    where = f"frame {index}: {frame.lidar_path}"
    data = read_inside(drive.root, frame.lidar_path, where=where)
    check_unchanged(data, drive.file_sha256.get(frame.lidar_path, ""), where=where)
    points = decode_sweep(data, drive.lidar_format, where=where)
    points = points[np.linalg.norm(points, axis=1) > MIN_RANGE_M]
    return apply(frame.world_from_ego @ drive.ego_from_lidar, points)


def _depth(points: F64, camera: Camera, world_from_ego: F64) -> U16:
    """Return the depth (H, W) along the optical axis of the nearest point in each pixel; 0 where there is none."""
    result = np.zeros((camera.height_px, camera.width_px), dtype=np.uint16)
    if len(points):
        uv, depth, inside = project(camera, world_from_ego, points)
        shown = inside & (depth > DEPTH_UNIT_M) & (depth < 65_000 * DEPTH_UNIT_M)
        far_first = np.argsort(-depth[shown], kind="stable")
        column, row = uv[shown][far_first].astype(np.int64).T
        result[row, column] = np.round(depth[shown][far_first] / DEPTH_UNIT_M).astype(np.uint16)
    return result


def _png(image: AnyArray) -> bytes:
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise AssertionError("a plane did not encode as PNG")
    return bytes(data.tobytes())
