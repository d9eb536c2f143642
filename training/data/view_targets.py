"""Targets of the auxiliary heads of a camera: what a feature cell shows, and how far LiDAR measured it."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F32, U8
from recon.classes import DRIVABLE, RoadClass
from recon.errors import ArtifactInvalid
from recon.segment.net_frame import NetFrame, Size
from recon.sensors.image_file import decode_ids
from training.data.config import ModelShape

NOT_LABELLED = 255
VIEW_CLASSES = ("paint", "boundary", "crossing")
_LEAST_SHARE = 0.02  # of a cell: a line of paint covers a few percent of a coarse one
_UNKNOWN_SHARE = 0.5  # of a cell without a positive: more is not labelled
_AROUND = np.ones((3, 3), dtype=np.uint8)


def _table(*classes: RoadClass) -> U8:
    table = np.zeros(256, dtype=np.uint8)
    table[list(map(int, classes))] = 255
    return table


_PAINT = _table(RoadClass.LANE_MARKING, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING)
_KERB, _CROSSING = _table(RoadClass.CURB), _table(RoadClass.CROSSWALK)
_DRIVABLE, _BESIDE, _UNKNOWN = _table(*DRIVABLE), _table(RoadClass.OFF_ROAD), _table(RoadClass.UNKNOWN)


def view_target(data: bytes, *, recorded_px: Size, config: ModelShape, where: str) -> U8:
    """Return (3, h, w) of a PNG of RoadClass ids: 1 where a cell shows paint, boundary, crossing; 255 not labelled.

    A boundary is a kerb, or the border between drivable and other ground. ImageInvalid for a damaged PNG.
    """
    ids = decode_ids(data, width_px=recorded_px[0], height_px=recorded_px[1], where=where)
    drivable, beside = (np.asarray(cv2.LUT(ids, table), dtype=np.uint8) for table in (_DRIVABLE, _BESIDE))
    border = cv2.bitwise_and(cv2.dilate(drivable, _AROUND), cv2.dilate(beside, _AROUND))
    paint, kerb, crossing, unknown = (cv2.LUT(ids, table) for table in (_PAINT, _KERB, _CROSSING, _UNKNOWN))
    planes = cv2.merge([paint, cv2.bitwise_or(border, kerb), crossing, unknown])
    share = _shares(np.asarray(planes, dtype=np.uint8), recorded_px, config)
    result = (share[..., :3].transpose(2, 0, 1) > _LEAST_SHARE * 255).astype(np.uint8)
    result[:, (share[..., 3] > _UNKNOWN_SHARE * 255) & ~result.any(axis=0)] = NOT_LABELLED
    return result


def depth_target(data: bytes, unit_m: float, *, recorded_px: Size, config: ModelShape, where: str) -> F32:
    """Return (h, w) metres of a 16-bit PNG of depth: the nearest point in each feature cell; 0 = not measured."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.shape != recorded_px[::-1]:
        raise ArtifactInvalid("the depth of an image is damaged", where=where, hint="Pack the labels again.")
    row, column = np.nonzero(stored)
    frame = NetFrame.of(recorded_px, config.image_px)
    x = frame.left + (column + 0.5) * frame.width / recorded_px[0]
    y = frame.top + (row + 0.5) * frame.height / recorded_px[1]
    result = np.full(config.feature_px, np.inf, dtype=np.float32)
    rows, columns = config.feature_px
    cell = (y * rows / config.image_px[1]).astype(np.int64), (x * columns / config.image_px[0]).astype(np.int64)
    np.minimum.at(result, cell, stored[row, column].astype(np.float32) * unit_m)
    result[np.isinf(result)] = 0.0
    return result


def _shares(planes: U8, recorded_px: Size, config: ModelShape) -> U8:
    """Return how much of each feature cell (h, w, 4) planes (H, W, 4) of 0 and 255 cover; padding is the last one's."""
    frame = NetFrame.of(recorded_px, config.image_px)
    if (frame.width, frame.height) != config.image_px:
        # The padding of the input, in pixels of the stored image: no plane of the input's size is needed.
        scale = recorded_px[0] / frame.width, recorded_px[1] / frame.height
        left, right = frame.left * scale[0], (config.image_px[0] - frame.left - frame.width) * scale[0]
        top, bottom = frame.top * scale[1], (config.image_px[1] - frame.top - frame.height) * scale[1]
        whole = np.zeros((round(top + bottom) + planes.shape[0], round(left + right) + planes.shape[1], 4), np.uint8)
        whole[..., 3] = 255
        whole[round(top) :, round(left) :][: planes.shape[0], : planes.shape[1]] = planes
        planes = whole
    return np.asarray(cv2.resize(planes, config.feature_px[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
