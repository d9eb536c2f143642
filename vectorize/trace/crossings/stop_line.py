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
from vectorize.trace_config import StopLineConfig

LENGTH_OVER_WIDTH = 1.5  # of a line; what is rounder has no direction


def find_stop_lines(
    evidence: Evidence, crossings: Sequence[F64], sides: RoadSides, config: StopLineConfig
) -> tuple[list[tuple[F64, float]], list[F64]]:
    """Return (line (2, 2) in world metres, mean evidence) of each area of STOP_LINE: its axis through the middle.

    Paint in one of the crossings, rings (N, 2), is part of that crossing. Paint along a side of the road is not a stop
    line: beside the kerb it is an edge line, elsewhere an arrow. Edge lines (2, 2) are returned too.
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
        if length_m < config.min_length_m or length_m <= LENGTH_OVER_WIDTH * width_m:
            continue
        if taken.contains(shapely.Point(line.mean(0))):
            continue
        away_m = sides.beside(line)
        if away_m is None:
            result.append((line, value))
        elif away_m < config.edge_line_m:
            edge_lines.append(line)
    return sorted(result, key=lambda item: tuple(item[0].ravel().tolist())), edge_lines
