"""Targets of the auxiliary heads of a camera: what a feature cell shows, and how far LiDAR measured it."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F32, U8
from recon.classes import DRIVABLE, RoadClass
from recon.errors import ArtifactInvalid
from recon.segment.net_frame import NetFrame, Size
from recon.sensors.image_file import decode_ids
from training.model.config import ModelConfig

NOT_LABELLED = 255
VIEW_CLASSES = ("paint", "boundary", "crossing")
_LEAST_SHARE = 0.02  # of a cell: a line of paint covers a few percent of a coarse one
_UNKNOWN_SHARE = 0.5  # of a cell without a positive: more is not labelled
_PAINT = (RoadClass.LANE_MARKING, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING)
_AROUND = np.ones((3, 3), dtype=np.uint8)


def view_target(data: bytes, *, recorded_px: Size, config: ModelConfig, where: str) -> U8:
    """Return (3, h, w) of a PNG of RoadClass ids: 1 where a cell shows paint, boundary, crossing; 255 not labelled.

    A boundary is a kerb, or the border between drivable and other ground. ImageInvalid for a damaged PNG.
    """
    ids = decode_ids(data, width_px=recorded_px[0], height_px=recorded_px[1], where=where)
    drivable, beside = _among(ids, DRIVABLE), (ids == RoadClass.OFF_ROAD).astype(np.uint8)
    border = np.minimum(_wider(drivable), _wider(beside))
    planes = (
        _among(ids, _PAINT),
        np.maximum(border, ids == RoadClass.CURB),
        (ids == RoadClass.CROSSWALK).astype(np.uint8),
    )
    shares = [_share(plane.astype(np.float32), 0.0, recorded_px, config) for plane in planes]
    unknown = _share((ids == RoadClass.UNKNOWN).astype(np.float32), 1.0, recorded_px, config) > _UNKNOWN_SHARE
    result = np.stack([share > _LEAST_SHARE for share in shares]).astype(np.uint8)
    result[:, unknown & ~result.astype(bool).any(axis=0)] = NOT_LABELLED
    return result


def depth_target(data: bytes, unit_m: float, *, recorded_px: Size, config: ModelConfig, where: str) -> F32:
    """Return (h, w) metres of a 16-bit PNG of depth: the nearest point in each feature cell; 0 = not measured."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.shape != recorded_px[::-1]:
        raise ArtifactInvalid("the depth of an image is damaged", where=where, hint="Pack the labels again.")
    row, column = np.nonzero(stored)
    frame = NetFrame.of(recorded_px, config.image_px)
    x = frame.left + (column + 0.5) * frame.width / recorded_px[0]
    y = frame.top + (row + 0.5) * frame.height / recorded_px[1]
    result = np.full(config.feature_px, np.inf, dtype=np.float32)
    cell = (y / config.stride).astype(np.int64), (x / config.stride).astype(np.int64)
    np.minimum.at(result, cell, stored[row, column].astype(np.float32) * unit_m)
    result[np.isinf(result)] = 0.0
    return result


def _among(ids: U8, classes: tuple[RoadClass, ...]) -> U8:
    table = np.zeros(256, dtype=np.uint8)
    table[list(map(int, classes))] = 1
    return table[ids]


def _wider(plane: U8) -> U8:
    return np.asarray(cv2.dilate(plane, _AROUND), dtype=np.uint8)


def _share(plane: F32, padding: float, recorded_px: Size, config: ModelConfig) -> F32:
    """Return how much of each feature cell (h, w) a plane (H, W) of 0 and 1 covers; the input's padding has a value."""
    frame = NetFrame.of(recorded_px, config.image_px)
    if frame.window != NetFrame.of(config.image_px, config.image_px).window:
        # The padding of the input, in pixels of the stored image: no plane of the input's size is needed.
        scale = recorded_px[0] / frame.width, recorded_px[1] / frame.height
        left, right = frame.left * scale[0], (config.image_px[0] - frame.left - frame.width) * scale[0]
        top, bottom = frame.top * scale[1], (config.image_px[1] - frame.top - frame.height) * scale[1]
        rows, columns = (round(top), round(bottom)), (round(left), round(right))
        plane = np.pad(plane, (rows, columns), constant_values=padding)
    size = config.feature_px[::-1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
