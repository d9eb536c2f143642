"""Areas that were predicted keyframe by keyframe, fused into the areas of a site: every cell by weighted vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from recon.arrays import F64
from recon.grid import Grid
from vectorize import polyline

CELL_M = 0.1
SHARED = 0.2  # of the smaller of two areas: they are one
MAJORITY = 0.5  # of the weight of the predictions whose patch holds a cell
TOLERANCE_M = 0.15  # of the outline
LEAST_M2 = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vote:
    """One predicted area."""

    ring: F64  # (N, 3) world metres
    score: float
    patch: F64  # (4, 2) world corners of the patch in which it was predicted: its edge may cut the area


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FusedArea:
    """An area of the site."""

    ring: F64  # (N, 3)
    weight: float  # sum of the scores
    votes: int


def fuse_areas(votes: Sequence[Vote]) -> list[FusedArea]:
    """Return the areas that predictions agree on; those that overlap are one."""
    polygons = [shapely.make_valid(shapely.Polygon(vote.ring[:, :2])) for vote in votes]
    return [area for group in _groups(polygons) if (area := _fused([votes[i] for i in group]))]


def _groups(polygons: Sequence[shapely.Geometry]) -> list[list[int]]:
    """Return groups of polygons that overlap, directly or through others."""
    if not polygons:
        return []
    group = list(range(len(polygons)))
    pairs = shapely.STRtree(polygons).query(polygons, predicate="intersects").T
    for i, j in pairs.tolist():
        if i < j and group[i] != group[j]:
            smaller = min(polygons[i].area, polygons[j].area)
            if polygons[i].intersection(polygons[j]).area >= SHARED * smaller:
                old, new = group[j], group[i]
                group = [new if entry == old else entry for entry in group]
    members: dict[int, list[int]] = {}
    for index, name in enumerate(group):
        members.setdefault(name, []).append(index)
    return list(members.values())


def _fused(votes: Sequence[Vote]) -> FusedArea | None:
    corners = np.concatenate([vote.ring[:, :2] for vote in votes])
    grid = Grid.around(corners, margin_m=4 * CELL_M, cell_m=CELL_M)
    given, possible = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for vote in votes:
        given += vote.score * _filled(grid, vote.ring[:, :2])
        possible += vote.score * _filled(grid, vote.patch)
    inside = (given > 0) & (given >= MAJORITY * possible)
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)[:, 0].astype(np.float64)
    if len(largest) < 3:
        return None
    # OpenCV's outline runs through the centres of the outermost cells: half a cell is missing all around.
    polygon = shapely.Polygon(grid.to_m(largest + 0.5)).buffer(0.5 * CELL_M, join_style="mitre")
    if polygon.geom_type != "Polygon" or polygon.area < LEAST_M2:
        return None
    ring = np.asarray(polygon.exterior.coords)[:-1]
    ring = ring[polyline.simplify(ring, TOLERANCE_M, closed=True)]
    if len(ring) < 3:
        return None
    height = float(np.average([vote.ring[:, 2].mean() for vote in votes], weights=[vote.score for vote in votes]))
    weight = float(sum(vote.score for vote in votes))
    return FusedArea(ring=np.c_[ring, np.full(len(ring), height)], weight=weight, votes=len(votes))


def _filled(grid: Grid, ring: F64) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    raster = np.zeros(grid.shape, np.uint8)
    px = np.round((grid.to_px(ring) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(raster, [px], 1, cv2.LINE_8, 4)
    return raster
