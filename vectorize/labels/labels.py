"""PseudoLabels: the site map cropped to the patch around each keyframe, with what was known there.

The patch lies in the ego frame: x forward, y left, `length_m` x `width_m`, centred on the vehicle. Vertices take the
full pose (roll and pitch too), because that is the frame in which the cameras are fixed: on a slope the patch lies on
the road, not on the horizon. A mask cell at ego (x, y) looks up the surface point whose ego (x, y) it is: starting on
the vehicle's ground plane, two rounds of reading the surface height under the point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import shapely

from recon.arrays import F64, Bool
from recon.artifact import Parts
from recon.bev.bev_map import BevBlocks, BevMap
from recon.drive import DriveLog
from recon.geometry import apply, invert
from recon.progress import Tick, silent
from vectorize import polyline
from vectorize.config import CropConfig
from vectorize.labels.known import KnownNear, mask_of
from vectorize.road_map import Element, RoadMap, pack_elements, unpack_elements

SHORTEST_PIECE_M = 0.5  # a sliver that the patch cuts off is no element
SMALLEST_PIECE_M2 = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PseudoLabels:
    """The labels of one keyframe, in its ego frame."""

    frame: int  # index into DriveLog.frames
    time_ns: int
    world_from_ego: F64  # (4, 4)
    elements: tuple[Element, ...]  # vertices (N, 3): x forward, y left, z up, metres
    known: Bool  # (h, w): row 0 is farthest forward, column 0 farthest left

    @property
    def coverage(self) -> float:
        """Return the known share of the patch, 0..1."""
        return float(self.known.mean())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSet:
    """The labels of all keyframes of one drive."""

    kind: ClassVar[str] = "LabelSet"
    schema: ClassVar[int] = 2

    drive: str  # name
    labels: tuple[PseudoLabels, ...]
    length_m: float
    width_m: float
    mask_cell_m: float
    provenance: dict[str, Any]  # digests of the artifacts behind the labels, where the caller knows them
    trips: tuple[str, ...] = ()  # names of the drives that made the map; bit t of a vertex's `trips` is the t-th

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Return (h, w) of every `known` mask."""
        return mask_shape(self.length_m, self.width_m, self.mask_cell_m)

    def to_parts(self) -> Parts:
        """Take the labels apart; masks are packed to bits, row by row."""
        packed = pack_elements([e for one in self.labels for e in one.elements])
        meta = {
            "drive": self.drive,
            "length_m": self.length_m,
            "width_m": self.width_m,
            "mask_cell_m": self.mask_cell_m,
            "provenance": self.provenance,
            "trips": list(self.trips),
            "frames": [one.frame for one in self.labels],
            **packed.meta,
        }
        arrays = {
            **packed.arrays,
            "time_ns": np.array([one.time_ns for one in self.labels], dtype=np.int64),
            "world_from_ego": np.array([one.world_from_ego for one in self.labels]).reshape(-1, 4, 4),
            "element_count": np.array([len(one.elements) for one in self.labels], dtype=np.int64),
            "known_bits": np.packbits(
                np.array([one.known for one in self.labels], dtype=bool).reshape(-1, *self.mask_shape), axis=-1
            ),
        }
        return Parts(meta=meta, arrays=arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Put the labels together again."""
        meta, arrays = parts.meta, parts.arrays
        shape = mask_shape(meta["length_m"], meta["width_m"], meta["mask_cell_m"])
        known = np.unpackbits(arrays["known_bits"], axis=-1, count=shape[1]).astype(bool)
        elements = unpack_elements(parts)
        ends = np.cumsum(arrays["element_count"]).tolist()
        labels = tuple(
            PseudoLabels(
                frame=frame,
                time_ns=int(arrays["time_ns"][i]),
                world_from_ego=arrays["world_from_ego"][i],
                elements=elements[ends[i] - int(arrays["element_count"][i]) : ends[i]],
                known=known[i],
            )
            for i, frame in enumerate(meta["frames"])
        )
        fields = {key: meta[key] for key in ("drive", "length_m", "width_m", "mask_cell_m", "provenance")}
        return cls(**fields, trips=tuple(meta["trips"]), labels=labels)


def mask_shape(length_m: float, width_m: float, cell_m: float) -> tuple[int, int]:
    """Return (h, w) of a mask: rows along the vehicle, columns across."""
    return max(1, round(length_m / cell_m)), max(1, round(width_m / cell_m))


def crop(
    drive: DriveLog,
    bev: BevMap | BevBlocks,
    road_map: RoadMap,
    config: CropConfig,
    tick: Tick = silent,
    *,
    provenance: dict[str, Any] | None = None,
) -> LabelSet:
    """Return one PseudoLabels per keyframe of the drive; the map and the raster must be of the same world frame."""
    near = KnownNear(bev, road_map, min_views=config.min_views)
    reach_m = float(np.hypot(config.length_m, config.width_m)) / 2 + 1.0  # the road may rise under a tilted patch
    shape = mask_shape(config.length_m, config.width_m, config.mask_cell_m)
    keyframes = [(i, frame) for i, frame in enumerate(drive.frames) if frame.keyframe]
    labels = []
    for done, (index, frame) in enumerate(keyframes, start=1):
        pose = frame.world_from_ego
        pieces = [piece for e in road_map.elements for piece in crop_element(e, invert(pose), config)]
        mask = mask_of(
            *near.at(pose[:2, 3], reach_m), pose, drive.ground_z_ego_m, shape, (config.length_m, config.width_m)
        )
        labels.append(
            PseudoLabels(frame=index, time_ns=frame.time_ns, world_from_ego=pose, elements=tuple(pieces), known=mask)
        )
        tick(done, len(keyframes), "keyframes")
    return LabelSet(
        drive=drive.name,
        labels=tuple(labels),
        length_m=config.length_m,
        width_m=config.width_m,
        mask_cell_m=config.mask_cell_m,
        provenance=dict(provenance or {}),
        trips=road_map.trips,
    )


def crop_element(element: Element, ego_from_world: F64, config: CropConfig) -> list[Element]:
    """Return the pieces of a world element inside the patch, in the ego frame: lines as lines, areas as areas."""
    world = element.vertices
    if world.shape[1] == 2:
        world = np.c_[world, np.zeros(len(world))]
    ego = apply(ego_from_world, world)
    high = np.array([config.length_m / 2, config.width_m / 2])
    if np.any(ego[:, :2].max(axis=0) < -high) or np.any(ego[:, :2].min(axis=0) > high):
        return []
    if element.closed and element.element_class == "ped_crossing":
        return _crop_area(element, ego, high)
    if element.closed:  # an island's rim is a line: it stays closed only where the whole ring is inside
        if np.all(np.abs(ego[:, :2]) <= high):
            return [replace(element, vertices=ego)]
        outside = int(np.argmax((np.abs(ego[:, :2]) - high).max(axis=1)))
        order = np.r_[outside : len(ego), 0 : outside + 1]
        ego = ego[order]
        element = element.take(order, closed=False)
    pieces = polyline.clip_to_box(ego, -high, high)
    return [element.at(where, part) for part, where in pieces if polyline.length_of(part) >= SHORTEST_PIECE_M]


def _crop_area(element: Element, ego: F64, high: F64) -> list[Element]:
    """Clip a polygon as a polygon: it stays closed at the patch's edge."""
    polygon = shapely.Polygon(ego[:, :2])
    if not polygon.is_valid:
        polygon = polygon.buffer(0)
    inside = polygon.intersection(shapely.box(-high[0], -high[1], high[0], high[1]))
    parts: Sequence[Any] = getattr(inside, "geoms", [inside])
    ring = np.concatenate([ego, ego[:1]])
    along, line = polyline.arc_length(ring), shapely.LinearRing(ring[:, :2])
    pieces = []
    for part in parts:
        if part.geom_type != "Polygon" or part.area < SMALLEST_PIECE_M2:
            continue
        corners = np.asarray(part.exterior.coords)[:-1, :2]
        corners = corners if part.exterior.is_ccw else corners[::-1]
        distance = np.array([line.project(shapely.Point(c)) for c in corners])
        where = np.interp(distance, along, np.arange(len(ring))) % len(ego)
        height = np.interp(distance, along, ring[:, 2])
        pieces.append(element.at(where, np.c_[corners, height], closed=True))
    return pieces
