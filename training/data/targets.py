"""Labels as a model learns them: points at equal distances, and rasters of each class.

Points as in MapTR (Liao et al., 2023, section 3.1): a line has P points from its first vertex to its last; a ring has P
points from its first vertex on, and the first is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from recon.arrays import F32, F64, I64, U8, Bool
from recon.errors import ArtifactInvalid
from training.model.config import ModelConfig
from vectorize.labels.sample import CLASS_TYPE

_STEPS = 4  # of a line in each cell that it crosses: it misses corners that it cuts by less
_SHIFT = 8  # fraction bits of OpenCV's polygons


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapTargets:
    """The elements of one sample. M elements, P points, K classes; unit coordinates."""

    points: F32  # (M, P, 2)
    classes: I64  # (M,)
    closed: Bool  # (M,)
    seen: F32  # (M, P)
    confidence: F32  # (M, P)
    bev: U8  # (K, Hb, Wb)


def map_targets(record: Mapping[str, Any], config: ModelConfig) -> MapTargets:
    """Return the targets of a sample JSON; elements of classes that the model does not have are left out.

    Raises ArtifactInvalid for a faulty vector, and where the labels were made without one of the model's classes.
    """
    where = str(record.get("sample_token", ""))
    try:
        _check_classes(record["classes"], config, where)
        vectors = [vector for vector in record["vectors"] if vector["cls_name"] in config.classes]
        count = len(vectors)
        points = np.zeros((count, config.points, 2), dtype=np.float32)
        values = np.zeros((2, count, config.points), dtype=np.float32)
        bev = np.zeros((len(config.classes), *config.bev_px), dtype=np.uint8)
        classes = np.array([config.classes.index(vector["cls_name"]) for vector in vectors], dtype=np.int64)
        for i, vector in enumerate(vectors):
            ego = np.array(vector["pts"], dtype=np.float64).reshape(-1, 2)
            per_vertex = np.stack([np.array(vector[name], dtype=np.float64) for name in ("seen", "confidence")])
            if len(ego) < 2 or per_vertex.shape[1] != len(ego) or not np.isfinite(ego).all():
                raise ValueError(f"vector {i} is no polyline")
            unit = config.patch.to_unit(ego)
            where_on = equal_distances(ego, config.points, closed=bool(vector["closed"]))
            points[i] = at(unit, where_on)
            values[:, i] = at(per_vertex.T, where_on).T
            draw(bev[classes[i]], unit, closed=bool(vector["closed"]), area=vector["cls_name"] == "ped_crossing")
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid(f"a vector of the sample is faulty: {error}", where=where) from error
    closed = np.array([bool(vector["closed"]) for vector in vectors], dtype=bool)
    return MapTargets(points=points, classes=classes, closed=closed, seen=values[0], confidence=values[1], bev=bev)


def equal_distances(vertices: F64, count: int, *, closed: bool) -> F64:
    """Return where `count` points at equal distances lie on a polyline: 2.25 is a quarter of the way from vertex 2."""
    ring = np.concatenate([vertices, vertices[:1]]) if closed else vertices
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    distance = np.linspace(0.0, along[-1], count, endpoint=not closed)
    result: F64 = np.interp(distance, along, np.arange(len(ring), dtype=np.float64))
    return result


def at(values: F64, where: F64) -> F64:
    """Return values (N, D) of vertices at fractional places (P,), (P, D); after the last vertex comes the first."""
    low = np.floor(where).astype(np.int64)
    share = (where - low)[:, None]
    result: F64 = (1.0 - share) * values[low % len(values)] + share * values[(low + 1) % len(values)]
    return result


def draw(plane: U8, unit: F64, *, closed: bool, area: bool) -> None:
    """Set the cells (h, w) that a polyline in unit coordinates crosses, or that an area covers."""
    size = np.array(plane.shape[::-1], dtype=np.float64)
    cells = unit * size
    ring = np.concatenate([cells, cells[:1]]) if closed else cells
    steps = np.maximum(1, np.ceil(np.abs(np.diff(ring, axis=0)).max(axis=1) * _STEPS).astype(np.int64))
    start = np.repeat(np.arange(len(steps)), steps)
    share = (np.arange(len(start)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[start]
    line = np.concatenate([ring[start] + share[:, None] * (ring[start + 1] - ring[start]), ring[-1:]])
    # A line along the edge of the patch belongs to the cells inside.
    column, row = np.clip(line, 0, size - 1).astype(np.int64).T
    plane[row, column] = 1
    if area and closed:
        corners = np.round((cells - 0.5) * 2**_SHIFT).astype(np.int32)  # OpenCV's centres lie at integers
        filled = np.zeros_like(plane)
        cv2.fillPoly(filled, [corners[:, None]], [1], shift=_SHIFT)
        np.maximum(plane, filled, out=plane)


def _check_classes(classes: Mapping[str, int], config: ModelConfig, where: str) -> None:
    lacking: Sequence[str] = [name for name in config.classes if classes.get(name) != CLASS_TYPE[name]]
    if lacking:
        hint = "Leave them out of model.classes, or label the drive again."
        message = f"the labels were made without the model's classes {', '.join(lacking)}"
        raise ArtifactInvalid(message, where=where, hint=hint)
