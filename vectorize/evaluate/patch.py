"""Patches: the labels of one keyframe beside the truth of the same piece of ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.errors import ArtifactInvalid, InputInvalid
from recon.geometry import invert
from recon.sensors.project import on_ground
from vectorize.config import CropConfig
from vectorize.evaluate.clip import Region
from vectorize.labels.crop import crop_element
from vectorize.labels.shard import Sample
from vectorize.road_map import Element, RoadMap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """Predictions and truth in the ego frame of one keyframe."""

    name: str
    predicted: tuple[Element, ...]
    true: tuple[Element, ...]
    region: Region
    size_m: tuple[float, float]  # along x, along y
    world_from_ego: F64  # (4, 4)
    ground_z_ego_m: float = 0.0


class TruthIndex:
    """A true map with a spatial index, so that a crop does not visit every element."""

    def __init__(self, road_map: RoadMap) -> None:
        self.elements = road_map.elements
        boxes = [(*e.vertices[:, :2].min(axis=0), *e.vertices[:, :2].max(axis=0)) for e in self.elements]
        self.boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        self._tree = shapely.STRtree(shapely.box(*self.boxes.T))

    def crop(self, world_from_ego: F64, ground_z_ego_m: float, config: CropConfig) -> tuple[Element, ...]:
        """Return the pieces inside the patch of a pose, in its ego frame, in the map's order.

        An element without heights gets those of the vehicle's ground plane, so that tilt does not shift it.
        """
        corners = corners_of(world_from_ego, (config.length_m, config.width_m))
        near = np.sort(self._tree.query(shapely.box(*corners.min(axis=0), *corners.max(axis=0)))).tolist()
        ego_from_world = invert(world_from_ego)
        pieces: list[Element] = []
        for k in near:
            element = self.elements[k]
            vertices = element.vertices
            if vertices.shape[1] == 2 or not np.isfinite(vertices[:, 2]).all():
                lifted = on_ground(vertices[:, :2], world_from_ego, ground_z_ego_m)
                element = replace(element, vertices=lifted)
            pieces += crop_element(element, ego_from_world, config)
        return tuple(pieces)


def corners_of(world_from_ego: F64, size_m: tuple[float, float]) -> F64:
    """Return (4, 2) world corners of a patch."""
    x, y = size_m[0] / 2, size_m[1] / 2
    ego = np.array([[x, y], [-x, y], [-x, -y], [x, -y]])
    result: F64 = ego @ world_from_ego[:2, :2].T + world_from_ego[:2, 3]
    return result


def elements_of(record: dict[str, Any], where: str) -> tuple[Element, ...]:
    """Return the elements of a sample JSON; raises ArtifactInvalid naming the sample."""
    try:
        return tuple(_element(vector) for vector in record["vectors"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        hint = "Label the drive again."
        raise ArtifactInvalid(f"a vector of the sample is faulty: {error}", where=where, hint=hint) from error


def _element(vector: dict[str, Any]) -> Element:
    plane = np.array(vector["pts"], dtype=np.float64)
    vertices = np.c_[plane, np.array(vector["z"], dtype=np.float64)] if "z" in vector else plane
    if not np.isfinite(vertices).all():
        raise ValueError("a coordinate is not finite")
    return Element(
        element_class=vector["cls_name"],
        vertices=vertices,
        seen=np.array(vector["seen"], dtype=bool),
        confidence=np.array(vector["confidence"], dtype=np.float32),
        score=float(vector["score"]),
        style=vector["style"],
        closed=bool(vector["closed"]),
    )


def patches_of(samples: Iterable[Sample], truth: TruthIndex) -> Iterator[Patch]:
    """Yield one patch per sample of a shard, in their order."""
    for sample in samples:
        record = sample.record
        predicted = elements_of(record, sample.key)
        size = (float(record["patch"]["length_m"]), float(record["patch"]["width_m"]))
        pose, ground = np.array(record["world_from_ego"], dtype=np.float64), float(record["ground_z_ego_m"])
        yield Patch(
            name=sample.key,
            predicted=predicted,
            true=truth.crop(pose, ground, CropConfig(length_m=size[0], width_m=size[1])),
            region=Region.of_patch(sample.known, *size),
            size_m=size,
            world_from_ego=pose,
            ground_z_ego_m=ground,
        )


def check_frame(truth: TruthIndex, poses: Sequence[F64], size_m: tuple[float, float], where: str) -> None:
    """Raise InputInvalid when no true element touches any patch: the map has another place or another frame."""
    if not poses:
        return
    patches = [shapely.Polygon(corners_of(pose, size_m)) for pose in poses]
    lines = shapely.box(*truth.boxes.T)
    if len(lines) and len(shapely.STRtree(patches).query(lines, predicate="intersects")[0]):
        return
    labelled = shapely.total_bounds(np.array(patches)).round().astype(int).tolist()
    theirs = shapely.total_bounds(lines).round().astype(int).tolist() if len(lines) else "nothing"
    raise InputInvalid(
        f"the true map and the labels do not overlap: labels lie within x, y {labelled} m, the map within {theirs}",
        where=where,
        hint="Both must be in the world frame of the drive (local east-north-up metres). Name the map of this drive.",
    )
