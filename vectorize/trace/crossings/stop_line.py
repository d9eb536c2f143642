"""Stop lines: areas of stop-line paint across a lane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from recon.arrays import F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.paint_areas import CLOSE_M, areas_of, axis_of
from vectorize.trace.road_sides import RoadSides

EDGE_LINE_M = 1.0  # from the foot of a kerb
STOP_LINE_M = 1.7  # least length: it spans a lane of 2.5 m, of which a third may be hidden or worn


def find_stop_lines(
    evidence: Evidence, crossings: Sequence[F64], sides: RoadSides
) -> tuple[list[tuple[F64, float]], list[F64]]:
    """Return (line (2, 2) in world metres, mean evidence) of each area of STOP_LINE: its axis through the middle.

    What lies in one of the crossings, rings (N, 2), is part of that. What runs along a side of the road is none: it is
    an arrow, or an edge line. Edge lines (2, 2) are returned too.
    """
    result: list[tuple[F64, float]] = []
    edge_lines: list[F64] = []
    taken = shapely.union_all([shapely.Polygon(ring) for ring in crossings])
    for window, inside, _ in areas_of(evidence, evidence.stop_line, CLOSE_M):
        fitted = axis_of(evidence, window, np.where(inside, evidence.stop_line[window], 0.0))
        if fitted is None:
            continue
        line, value, width_m = fitted
        length_m = polyline.length_of(line)
        if length_m < STOP_LINE_M or length_m <= 1.5 * width_m or taken.contains(shapely.Point(line.mean(0))):
            continue
        away_m = sides.beside(line)
        if away_m is None:
            result.append((line, value))
        elif away_m < EDGE_LINE_M:
            edge_lines.append(line)
    return sorted(result, key=lambda item: tuple(item[0].ravel().tolist())), edge_lines
