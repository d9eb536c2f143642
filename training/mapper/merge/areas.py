"""Areas that were predicted keyframe by keyframe, fused into the areas of a site: every cell by weighted vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from scipy.sparse.csgraph import connected_components

from recon.arrays import F64, Bool
from recon.grid import Grid
from vectorize import polyline

CELL_M = 0.1
SHARED = 0.2  # of the smaller of two areas: they overlap
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
    """Return the areas that predictions agree on, whatever the order of the votes."""
    votes = sorted(votes, key=lambda vote: (-vote.score, vote.ring.tolist()))  # sums round alike in every order
    polygons = [shapely.make_valid(shapely.Polygon(vote.ring[:, :2])) for vote in votes]
    linked = _linked(polygons)
    count, group = connected_components(linked, directed=False)
    fused: list[FusedArea] = []
    for members in (np.flatnonzero(group == number).tolist() for number in range(count)):
        mine = [votes[i] for i in members]
        for outline in _outlines(mine, linked[np.ix_(members, members)]):
            fused += _area(outline, [votes[i] for i in members if _shared(outline, polygons[i])])
    return fused


def _shared(one: shapely.Geometry, other: shapely.Geometry) -> bool:
    return bool(one.intersection(other).area >= SHARED * min(one.area, other.area))


def _linked(polygons: Sequence[shapely.Geometry]) -> Bool:
    """Return (N, N) which polygons overlap; each does itself."""
    linked = np.eye(len(polygons), dtype=bool)
    if polygons:
        for i, j in shapely.STRtree(polygons).query(polygons, predicate="intersects").T.tolist():
            if i < j and _shared(polygons[i], polygons[j]):
                linked[i, j] = linked[j, i] = True
    return linked


def _outlines(votes: Sequence[Vote], linked: Bool) -> list[shapely.Polygon]:
    """Return the outlines of what most votes hold.

    A sloppy vote may link those of two areas. So a vote speaks against a cell only as far as it overlaps the votes
    for it: those of the other area count by the sloppy vote's share.
    """
    corners = np.concatenate([vote.ring[:, :2] for vote in votes])
    grid = Grid.around(corners, margin_m=4 * CELL_M, cell_m=CELL_M)
    filled = np.stack([_filled(grid, vote.ring[:, :2]).ravel() for vote in votes])
    held = np.flatnonzero(filled.any(axis=0))
    scores = np.array([vote.score for vote in votes], np.float32)
    weighed = scores[:, None] * filled[:, held]
    given, against = weighed.sum(axis=0), np.zeros(len(held), np.float32)
    for vote, overlapped in zip(votes, linked, strict=True):
        against += vote.score * _filled(grid, vote.patch).ravel()[held] * weighed[overlapped].sum(axis=0)
    inside = np.zeros(grid.shape, np.uint8)
    inside.ravel()[held] = (given > 0) & (given * given >= MAJORITY * against)
    found: list[shapely.Polygon] = []
    for contour in cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        if len(contour) >= 3:
            # OpenCV's outline runs through the centres of the outermost cells: half a cell is missing all around.
            ring = shapely.Polygon(grid.to_m(contour[:, 0].astype(np.float64) + 0.5))
            found += shapely.get_parts(ring.buffer(0.5 * CELL_M, join_style="mitre")).tolist()
    return [outline for outline in found if outline.area >= LEAST_M2]


def _area(outline: shapely.Polygon, votes: Sequence[Vote]) -> list[FusedArea]:
    """Return the area inside an outline, or nothing where a thin one has no inside once it is simplified."""
    ring = np.asarray(outline.exterior.coords)[:-1]
    ring = ring[polyline.simplify(ring, TOLERANCE_M, closed=True)]
    weight = float(sum(vote.score for vote in votes))
    if len(ring) < 3 or weight <= 0:
        return []
    height = float(np.average([vote.ring[:, 2].mean() for vote in votes], weights=[vote.score for vote in votes]))
    return [FusedArea(ring=np.c_[ring, np.full(len(ring), height)], weight=weight, votes=len(votes))]


def _filled(grid: Grid, ring: F64) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    raster = np.zeros(grid.shape, np.uint8)
    px = np.round((grid.to_px(ring) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(raster, [px], 1, cv2.LINE_8, 4)
    return raster
