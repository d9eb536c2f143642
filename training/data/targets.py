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
from training.data.config import ModelShape
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.road_map import AREA_CLASSES

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


def map_targets(record: Mapping[str, Any], config: ModelShape) -> MapTargets:
    """Return the targets of a sample JSON; elements of classes that the model does not have are left out.

    Raises ArtifactInvalid for a faulty vector, and where the labels were made without one of the model's classes.
    """
    where = str(record.get("sample_token", ""))
    try:
        check_classes(record["classes"], config, where)
        vectors = [vector for vector in record["vectors"] if vector["cls_name"] in config.classes]
        classes = np.array([config.classes.index(vector["cls_name"]) for vector in vectors], dtype=np.int64)
        closed = np.array([bool(vector["closed"]) for vector in vectors], dtype=bool)
        shapes = [_vertices(vector, config) for vector in vectors]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid(f"a vector of the sample is faulty: {error}", where=where) from error
    sampled = np.zeros((len(vectors), config.points, 4), dtype=np.float32)
    for i, (ego, values) in enumerate(shapes):
        sampled[i] = at(values, equal_distances(ego, config.points, closed=bool(closed[i])))
    bev = np.zeros((len(config.classes), *config.bev_px), dtype=np.uint8)
    draw_lines(bev, [values[:, :2] for _, values in shapes], classes, closed)
    for i in np.flatnonzero(closed).tolist():
        if config.classes[classes[i]] in AREA_CLASSES:
            fill(bev[classes[i]], shapes[i][1][:, :2])
    points, seen, confidence = (np.ascontiguousarray(sampled[..., part]) for part in (slice(0, 2), 2, 3))
    return MapTargets(points=points, classes=classes, closed=closed, seen=seen, confidence=confidence, bev=bev)


def _vertices(vector: Mapping[str, Any], config: ModelShape) -> tuple[F64, F64]:
    """Return the vertices (N, 2) of a vector in metres; and (N, 4) column, row, seen and confidence of each."""
    ego = np.array(vector["pts"], dtype=np.float64)
    if ego.ndim != 2 or ego.shape[1] != 2:
        raise ValueError(f"{vector['cls_name']}: points of shape {ego.shape}")
    values = np.empty((len(ego), 4))
    values[:, :2] = config.patch.to_unit(ego)
    values[:, 2], values[:, 3] = vector["seen"], vector["confidence"]
    lengths = {len(ego), len(vector["seen"]), len(vector["confidence"])}  # numpy would stretch a list of one
    if len(lengths) > 1 or len(ego) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{vector['cls_name']}: {len(ego)} vertices are no polyline")
    return ego, values


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


def draw_lines(planes: U8, lines: Sequence[F64], classes: I64, closed: Bool) -> None:
    """Set the cells (K, h, w) that lines in unit coordinates cross, each in the plane of its class."""
    if not lines:
        return
    size = np.array(planes.shape[:0:-1], dtype=np.float64)
    rings = [np.concatenate([line, line[:1]]) if ring else line for line, ring in zip(lines, closed, strict=True)]
    # All lines at once: pieces of numpy's size would cost more than the drawing.
    ends = np.concatenate(rings) * size
    plane = np.repeat(classes, [len(ring) for ring in rings])
    first = np.ones(len(ends), dtype=bool)
    first[np.cumsum([len(ring) for ring in rings]) - 1] = False  # no stretch leads from the last vertex of a line
    start = np.flatnonzero(first)
    stretch = ends[start + 1] - ends[start]
    steps = np.maximum(1, np.ceil(np.abs(stretch).max(axis=1) * _STEPS).astype(np.int64))
    share = (np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)) / np.repeat(steps, steps)
    cells = np.concatenate([np.repeat(ends[start], steps, 0) + share[:, None] * np.repeat(stretch, steps, 0), ends])
    of = np.concatenate([np.repeat(plane[start], steps), plane])
    # A line along the edge of the patch belongs to the cells inside.
    column, row = np.clip(cells, 0, size - 1).astype(np.int64).T
    planes[of, row, column] = 1


def fill(plane: U8, unit: F64) -> None:
    """Set the cells (h, w) whose centres an area in unit coordinates covers."""
    corners = np.round((unit * plane.shape[::-1] - 0.5) * 2**_SHIFT).astype(np.int32)  # OpenCV's centres: integers
    filled = np.zeros_like(plane)
    cv2.fillPoly(filled, [corners[:, None]], [1], shift=_SHIFT)
    np.maximum(plane, filled, out=plane)


def check_classes(classes: Mapping[str, int], config: ModelShape, where: str) -> None:
    """Raise ArtifactInvalid where labels, whose classes and types are `classes`, lack one of the model's."""
    lacking: Sequence[str] = [name for name in config.classes if classes.get(name) != CLASS_TYPE[name]]
    if lacking:
        hint = "Leave them out of model.classes, or label the drive again."
        message = f"the labels were made without the model's classes {', '.join(lacking)}"
        raise ArtifactInvalid(message, where=where, hint=hint)
