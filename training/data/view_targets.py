"""Targets of the auxiliary heads of a camera: what a feature cell shows, and how far LiDAR measured it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

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
_PAINT = (RoadClass.LANE_MARKING, RoadClass.STOP_LINE, RoadClass.OTHER_MARKING)
_KERB, _CROSSING = (RoadClass.CURB,), (RoadClass.CROSSWALK,)
_BESIDE, _UNKNOWN = (RoadClass.OFF_ROAD,), (RoadClass.UNKNOWN,)


def view_target(data: bytes, *, recorded_px: Size, config: ModelShape, where: str) -> U8:
    """Return (3, h, w) of a PNG of RoadClass ids: 1 where a cell shows paint, boundary, crossing; 255 not labelled.

    A boundary is a kerb, or the border between drivable and other ground. ImageInvalid for a damaged PNG.
    """
    ids = decode_ids(data, width_px=recorded_px[0], height_px=recorded_px[1], where=where)
    ids = _padded(ids, NetFrame.of(recorded_px, config.image_px))
    ids = _shifted(ids, round(-config.feature_shift_px * ids.shape[1] / config.image_px[0]))
    border = cv2.bitwise_and(cv2.dilate(_any(ids, DRIVABLE), _AROUND), cv2.dilate(_any(ids, _BESIDE), _AROUND))
    planes = (_any(ids, _PAINT), cv2.bitwise_or(border, _any(ids, _KERB)), _any(ids, _CROSSING), _any(ids, _UNKNOWN))
    # One plane after the other: merging them would cost more than it saves.
    size = config.feature_px[::-1]
    shares = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in planes])
    result = (shares[:3] > _LEAST_SHARE * 255).astype(np.uint8)
    result[:, (shares[3] > _UNKNOWN_SHARE * 255) & ~result.any(axis=0)] = NOT_LABELLED
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
    # A feature is taught what lies around the place that it looks at.
    cell_row = np.floor((y - config.feature_shift_px) * rows / config.image_px[1]).astype(np.int64)
    cell_column = np.floor((x - config.feature_shift_px) * columns / config.image_px[0]).astype(np.int64)
    inside = (cell_row >= 0) & (cell_row < rows) & (cell_column >= 0) & (cell_column < columns)
    depth_m = stored[row, column].astype(np.float32) * unit_m
    np.minimum.at(result, (cell_row[inside], cell_column[inside]), depth_m[inside])
    result[np.isinf(result)] = 0.0
    return result


def _padded(ids: U8, frame: NetFrame) -> U8:
    """Return ids (H, W) with the padding of the input around them, in pixels of the stored image, as UNKNOWN."""
    if (frame.width, frame.height) == frame.net_px:
        return ids
    across, down = frame.image_px[0] / frame.width, frame.image_px[1] / frame.height
    left, right = frame.left * across, (frame.net_px[0] - frame.left - frame.width) * across
    rows, columns = round(frame.top * down) + ids.shape[0], round(left + right) + ids.shape[1]
    whole = np.full((rows, columns), int(RoadClass.UNKNOWN), dtype=np.uint8)
    whole[-ids.shape[0] :, round(left) : round(left) + ids.shape[1]] = ids
    return whole


def _shifted(ids: U8, by_px: int) -> U8:
    """Return ids (H, W) moved right and down, or left and up, by whole pixels; what moves in is UNKNOWN."""
    if by_px == 0:
        return ids
    whole = np.full_like(ids, int(RoadClass.UNKNOWN))
    gone, kept = (slice(by_px, None), slice(None, -by_px)) if by_px > 0 else (slice(None, by_px), slice(-by_px, None))
    whole[gone, gone] = ids[kept, kept]
    return whole


def _any(ids: U8, classes: Sequence[RoadClass]) -> U8:
    """Return (H, W) of 255 where a pixel has one of the classes."""
    planes = [cv2.inRange(ids, (int(one),), (int(one),)) for one in classes]
    return np.asarray(reduce(cv2.bitwise_or, planes), dtype=np.uint8)
