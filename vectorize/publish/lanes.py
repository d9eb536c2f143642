"""Figures of a map's dividers and lanes: lengths, the widths between neighbours, and crossings."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from shapely import LineString

from vectorize.neighbours import LineIndex
from vectorize.polyline import left_normals, length_of, resample, tangents
from vectorize.road_map import Element, RoadMap

SAMPLE_M = 1.0  # along a divider, between measured widths
WIDEST_LANE_M = 6.0  # a wider space is two lanes or a junction
SHORTEST_PAIR_M = 20.0  # a width is that of a lane only where two dividers run side by side this far


def lane_summary(road_map: RoadMap) -> dict[str, Any]:
    """Return every divider (longest first), the widths of the lanes between neighbours, and how many dividers cross."""
    dividers = sorted(road_map.of("divider"), key=lambda e: -length_of(e.vertices))
    return {
        "dividers": [
            {
                "length_m": round(length_of(e.vertices), 1),
                "style": e.style,
                "score": round(e.score, 3),
                "sure_m": round(_sure_length(e), 1),
            }
            for e in dividers
        ],
        "lanes": _lanes(dividers),
        "divider_crossings": _crossings(dividers),
    }


def _sure_length(element: Element) -> float:
    """Return the metres between vertices of at least half confidence."""
    steps = np.linalg.norm(np.diff(element.vertices[:, :2], axis=0), axis=1)
    sure = np.minimum(element.confidence[:-1], element.confidence[1:]) >= 0.5
    return float(steps[sure].sum())


def _crossings(dividers: list[Element]) -> int:
    lines = [LineString(e.vertices[:, :2]) for e in dividers]
    return sum(a.crosses(b) for a, b in combinations(lines, 2))


def _lanes(dividers: list[Element]) -> list[dict[str, Any]]:
    """Return the widths from each divider to the nearest one on its left, measured across it every metre."""
    if not dividers:
        return []
    index = LineIndex.of([LineString(e.vertices[:, :2]) for e in dividers])
    widths: dict[tuple[int, int], list[float]] = {}
    for i, element in enumerate(dividers):
        points = resample(np.asarray(element.vertices[:, :2], dtype=np.float64), SAMPLE_M)
        directions = tangents(points)
        for side in (1.0, -1.0):
            for point, direction, normal in zip(points, directions, side * left_normals(directions), strict=True):
                met = index.across(i, point, point + WIDEST_LANE_M * normal)
                beside = next((one for one in met if index.is_parallel(one, direction)), None)
                if beside is not None:
                    widths.setdefault((min(i, beside.line), max(i, beside.line)), []).append(beside.away_m)
    result = []
    for (i, j), values in sorted(widths.items()):
        # Each pair was measured from both of its lines.
        if len(values) * SAMPLE_M / 2 >= SHORTEST_PAIR_M:
            low, median, high = np.percentile(values, [5, 50, 95])
            widths_m = {"median_m": median, "p5_m": low, "p95_m": high, "min_m": min(values), "max_m": max(values)}
            rounded = {name: round(float(value), 2) for name, value in widths_m.items()}
            result.append({"between": [i, j], "length_m": round(len(values) * SAMPLE_M / 2, 1), **rounded})
    return result
