"""Whether styles are right: metres of matched dividers by true and by predicted style."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from vectorize.evaluate.metrics.extent import middles
from vectorize.road_map import MIRRORED, Element, Style

StyleMetres = Mapping[tuple[Style, Style], float]  # (true, predicted) -> metres

CHORD_M = 0.5  # of a line, from which its direction at a place is taken


def style_metres(predicted: Sequence[Element], true: Sequence[Element], within_m: float, step_m: float) -> StyleMetres:
    """Return the metres of predicted dividers that have a true one `within_m`, by both styles; the nearest counts.

    Some maps draw a double line as two solid ones. Where two of them lie within reach of a double label, the truth is
    double. Of a solid line beside a dashed one, left and right are those of the label's direction.
    """
    result: dict[tuple[Style, Style], float] = {}
    if not predicted or not true:
        return result
    lines = [shapely.LineString(_ring(e)) for e in true]
    tree = shapely.STRtree(lines)
    for element in predicted:
        plane = _ring(element)
        xy, metres = middles([plane], step_m)
        points = shapely.points(xy)
        where, which = tree.query(points, predicate="dwithin", distance=within_m)
        away = shapely.distance(points[where], tree.geometries[which])
        for number in np.unique(where).tolist():
            mine = where == number
            near = which[mine][np.argsort(away[mine], kind="stable")].tolist()
            style = true[near[0]].style
            if element.style == "double" and [true[k].style for k in near[:2]] == ["solid", "solid"]:
                style = "double"
            elif style in MIRRORED and _against(plane, lines[near[0]], points[number]):
                style = MIRRORED[style]
            key = (style, element.style)
            result[key] = result.get(key, 0.0) + float(metres[number])
    return result


def style_record(parts: Iterable[StyleMetres], within_m: float) -> dict[str, Any]:
    """Return the share of matched metres with the right style, and true style -> predicted style -> metres."""
    sums: dict[str, dict[str, float]] = {}
    for part in parts:
        for (true, predicted), metres in part.items():
            row = sums.setdefault(true, {})
            row[predicted] = row.get(predicted, 0.0) + metres
    whole = sum(sum(row.values()) for row in sums.values())
    right = sum(row.get(true, 0.0) for true, row in sums.items())
    table = {true: {style: round(m, 1) for style, m in sorted(row.items())} for true, row in sorted(sums.items())}
    share = round(right / whole, 4) if whole > 0 else None
    return {"threshold_m": within_m, "matched_m": round(whole, 1), "right": share, "true": table}


def _against(plane: F64, line: shapely.LineString, point: shapely.Point) -> bool:
    """Return whether a true line runs against a label at a place."""
    own = shapely.LineString(plane)
    steps = []
    for one in (own, line):
        along = one.project(point)
        ends = shapely.line_interpolate_point(one, [max(along - CHORD_M, 0.0), min(along + CHORD_M, one.length)])
        steps.append(np.diff(shapely.get_coordinates(ends), axis=0)[0])
    return bool(steps[0] @ steps[1] < 0)


def _ring(element: Element) -> F64:
    plane: F64 = element.vertices[:, :2]
    return np.concatenate([plane, plane[:1]]) if element.closed else plane
