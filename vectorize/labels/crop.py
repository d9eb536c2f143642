"""The stage `crop`: the site map cropped to the patch around each keyframe, with what was known there.

The patch lies in the ego frame: x forward, y left, `length_m` x `width_m`, centred on the vehicle. Vertices take the
full pose (roll and pitch too), because that is the frame in which the cameras are fixed: on a slope the patch lies on
the road, not on the horizon. A mask cell at ego (x, y) looks up the surface point whose ego (x, y) it is: starting on
the vehicle's ground plane, two rounds of reading the surface height under the point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.bev.bev_map import BevBlocks, BevMap
from recon.drive import DriveLog
from recon.geometry import apply, invert
from recon.progress import Tick, silent
from vectorize import polyline
from vectorize.config import CropConfig
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.labels.known import OTHER_LEVEL_M, KnownWindow, mask_of
from vectorize.labels.label_set import LabelSet, PseudoLabels, mask_shape
from vectorize.road_map import AREA_CLASSES, Element, RoadMap

SHORTEST_PIECE_M = 0.5  # of a line that the edge of the patch cuts off: a shorter piece is a sliver
SMALLEST_PIECE_M2 = 0.5  # of an area
RISE_M = 1.0  # added to the reach: the road may rise under a tilted patch


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
    near = KnownWindow(bev, road_map, min_views=config.min_views)
    reach_m = float(np.hypot(config.length_m, config.width_m)) / 2 + RISE_M
    shape = mask_shape(config.length_m, config.width_m, config.mask_cell_m)
    keyframes = [(i, frame) for i, frame in enumerate(drive.frames) if frame.keyframe]
    labels = []
    trained = [e for e in road_map.elements if e.element_class in CLASS_TYPE]  # samples have no class for the others
    for done, (index, frame) in enumerate(keyframes, start=1):
        pose = frame.world_from_ego
        pieces = [piece for e in trained for piece in crop_element(e, invert(pose), config)]
        pieces = [piece for piece in pieces if _on_level(piece, drive.ground_z_ego_m)]
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


def _on_level(piece: Element, ground_z_ego_m: float) -> bool:
    """Return whether a piece in the ego frame lies on the vehicle's road, and not on one above or below it."""
    return bool(np.abs(piece.vertices[:, 2] - ground_z_ego_m).min() < OTHER_LEVEL_M)


def crop_element(element: Element, ego_from_world: F64, config: CropConfig) -> list[Element]:
    """Return the pieces of a world element inside the patch, in the ego frame: lines as lines, areas as areas."""
    world = element.vertices
    if world.shape[1] == 2:
        world = np.c_[world, np.zeros(len(world))]
    ego = apply(ego_from_world, world)
    high = np.array([config.length_m / 2, config.width_m / 2])
    if np.any(ego[:, :2].max(axis=0) < -high) or np.any(ego[:, :2].min(axis=0) > high):
        return []
    if element.closed and element.element_class in AREA_CLASSES:
        return _crop_area(element, ego, high)
    if element.closed:  # an island's outline is a line: it stays closed only if the whole ring is inside
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
