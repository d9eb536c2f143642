"""Which drives overlap, and where: perception boxes along each path, merged to one area per drive, in a spatial index.

After MapGCLR's analysis of multiple traversals: drives whose areas overlap may be aggregated into one site, and poses
whose boxes overlap may be paired for contrastive learning. Everything is in one common world frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from recon.arrays import F64
from recon.errors import ConfigInvalid

CROSSING_M2 = 200.0  # with less, areas only touch; two crossing roads share the product of their widths
ROAD_HALF_M = 6.0  # half the width of the road assumed along a path: two paths that only cross share little of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Two drives that share ground."""

    first: int
    second: int  # > first
    shared_m2: float
    iou: float  # of the two areas


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePair:
    """Two poses whose perception boxes overlap."""

    first: tuple[int, int]  # drive, pose
    second: tuple[int, int]
    iou: float
    turn_rad: float  # between the headings, 0..pi: from opposite directions the same ground looks different


def perception_boxes(poses: F64, *, ahead_m: float, beside_m: float) -> npt.NDArray[np.object_]:
    """Return a rectangle (shapely Polygon) per pose (N, 4, 4): +-`ahead_m` along, +-`beside_m` across the heading."""
    if ahead_m <= 0 or beside_m <= 0:
        raise ConfigInvalid(f"a perception box of {ahead_m} x {beside_m} m is empty", hint="Give positive lengths.")
    corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * [ahead_m, beside_m]
    heading = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    cos, sin = np.cos(heading), np.sin(heading)
    rotation = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    boxes = np.einsum("nij,kj->nki", rotation, corners) + poses[:, None, :2, 3]
    return np.asarray(shapely.polygons(boxes))


def drive_area(poses: F64, *, ahead_m: float = 30.0, beside_m: float = 15.0) -> shapely.Geometry:
    """Return the union of a drive's perception boxes, in square metres of the world frame; empty without poses."""
    return shapely.union_all(perception_boxes(poses, ahead_m=ahead_m, beside_m=beside_m))


def meetings(areas: Sequence[shapely.Geometry], *, least_m2: float = CROSSING_M2) -> tuple[Meeting, ...]:
    """Return every pair of areas that share at least `least_m2`, in order."""
    every = np.array(areas, dtype=object)
    one, other = shapely.STRtree(every).query(every, predicate="intersects")
    one, other = one[one < other], other[one < other]
    shared = shapely.area(shapely.intersection(every[one], every[other]))
    size = shapely.area(every)
    meet = np.flatnonzero(shared >= least_m2)
    return tuple(
        Meeting(first=i, second=j, shared_m2=m2, iou=m2 / (size[i] + size[j] - m2))
        for i, j, m2 in sorted(zip(one[meet].tolist(), other[meet].tolist(), shared[meet].tolist(), strict=True))
    )


def sites(count: int, met: Sequence[Meeting]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of `count` drives that are connected by meetings, each in ascending order."""
    rows, columns = (np.array([getattr(m, end) for m in met], dtype=np.int64) for end in ("first", "second"))
    graph = coo_matrix((np.ones(len(met)), (rows, columns)), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    return tuple(tuple(np.flatnonzero(group == g).tolist()) for g in range(int(group.max(initial=-1)) + 1))


def pose_pairs(
    drives: Sequence[F64],
    *,
    least_iou: float,
    most_iou: float,
    ahead_m: float = 30.0,
    beside_m: float = 15.0,
    same_drive: bool = False,
) -> tuple[PosePair, ...]:
    """Return the pairs of poses of different drives ((N, 4, 4) each) whose boxes have an IoU within the bounds."""
    if not 0.0 <= least_iou <= most_iou <= 1.0:
        raise ConfigInvalid(f"IoU bounds {least_iou}..{most_iou} are not within 0..1", hint="E.g. 0.2 and 0.8.")
    poses = np.concatenate([np.zeros((0, 4, 4)), *drives])
    names = [(drive, i) for drive, own in enumerate(drives) for i in range(len(own))]
    boxes = perception_boxes(poses, ahead_m=ahead_m, beside_m=beside_m)
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    owner = np.array([drive for drive, _ in names], dtype=np.int64)
    kept = (one < other) & (same_drive | (owner[one] != owner[other]))
    one, other = one[kept], other[kept]
    shared = shapely.area(shapely.intersection(boxes[one], boxes[other]))
    iou = shared / (8.0 * ahead_m * beside_m - shared)
    heading = np.arctan2(poses[:, 1, 0], poses[:, 0, 0])
    turn = np.abs((heading[one] - heading[other] + np.pi) % (2 * np.pi) - np.pi)
    fits = np.flatnonzero((iou >= least_iou) & (iou <= most_iou) & (shared > 0))
    order = fits[np.lexsort((other[fits], one[fits]))]
    return tuple(
        PosePair(first=names[one[k]], second=names[other[k]], iou=float(iou[k]), turn_rad=float(turn[k])) for k in order
    )
