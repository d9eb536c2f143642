"""Cutting lines so that no two of them cross."""

from __future__ import annotations

import numpy as np
import shapely
from shapely import LineString, STRtree

from recon.arrays import F64
from vectorize import polyline


def uncross(lines: list[F64], weight: list[float]) -> list[list[tuple[int, int]]]:
    """Return, for every polyline, the vertex spans (start, stop) to keep so that no two lines cross.

    Where two cross, the lighter gives way: it loses the segments that touch the other and keeps what remains.
    """
    order = sorted(range(len(lines)), key=lambda i: (-weight[i], i))
    kept: list[list[tuple[int, int]]] = [[] for _ in lines]
    shapes = [LineString(line) for line in lines]
    tree = STRtree(shapes)
    rank = {index: position for position, index in enumerate(order)}
    for index in order:
        stronger = [o for o in tree.query(shapes[index], predicate="intersects").tolist() if rank[o] < rank[index]]
        good = np.ones(len(lines[index]) - 1, dtype=bool)
        if stronger:
            others = shapely.union_all([shapes[o] for o in stronger])
            shapely.prepare(others)
            segments = shapely.linestrings(np.stack([lines[index][:-1], lines[index][1:]], axis=1))
            good = ~shapely.intersects(others, segments)
        kept[index] = [(a, b + 1) for a, b in polyline.runs(good)]
    return kept
