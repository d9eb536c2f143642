"""Precision and recall by length or area: metres or square metres that were found, and that are right.

Unlike counts of elements, these do not depend on whether a line is in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from recon.arrays import F64
from vectorize import polyline
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.areas import is_area, polygon_of
from vectorize.road_map import Element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extent:
    """Metres along lines, or square metres of areas, of one class; `found` and `right` per threshold."""

    true: float
    predicted: float
    found: F64  # (T,) of the truth, within the threshold of a prediction (areas: covered by one, for every threshold)
    right: F64  # (T,) of the predictions, within the threshold of the truth


def extent(predicted: Sequence[Element], true: Sequence[Element], config: EvaluateConfig) -> Extent:
    """Compare one class by length or area; open crossings have no area and are not counted."""
    if not predicted and not true:
        zero = np.zeros(len(config.thresholds_m))
        return Extent(true=0.0, predicted=0.0, found=zero, right=zero)
    if any(is_area(e) for e in (*predicted, *true)):
        return _areas([e for e in predicted if is_area(e)], [e for e in true if is_area(e)], config)
    thresholds = np.array(config.thresholds_m)
    totals, near = [], []
    for side, other in ((true, predicted), (predicted, true)):
        _, weight, away = distances_along(side, other, config.step_m, config.reach_m)
        totals.append(float(weight.sum()))
        near.append(np.array([weight[away <= t].sum() for t in thresholds]))
    return Extent(true=totals[0], predicted=totals[1], found=near[0], right=near[1])


def _areas(predicted: Sequence[Element], true: Sequence[Element], config: EvaluateConfig) -> Extent:
    ours, theirs = (shapely.union_all([polygon_of(e) for e in side]) for side in (predicted, true))
    common = np.full(len(config.thresholds_m), float(shapely.intersection(ours, theirs).area))
    return Extent(true=float(theirs.area), predicted=float(ours.area), found=common, right=common)


def total(extents: Sequence[Extent], config: EvaluateConfig) -> Extent:
    """Return the sum over patches."""
    zero = np.zeros(len(config.thresholds_m))
    return Extent(
        true=sum(e.true for e in extents),
        predicted=sum(e.predicted for e in extents),
        found=sum((e.found for e in extents), zero),
        right=sum((e.right for e in extents), zero),
    )


def size_of(elements: Sequence[Element]) -> float:
    """Return metres of lines, or square metres of the union of areas, of one class."""
    areas = [polygon_of(e) for e in elements if is_area(e)]
    if areas:
        return float(shapely.union_all(areas).area)
    return float(sum(polyline.length_of(e.vertices, closed=e.closed) for e in elements))


def distances_along(
    elements: Sequence[Element], others: Sequence[Element], step_m: float, reach_m: float
) -> tuple[F64, F64, F64]:
    """Return points (N, 2) in the middles of equal steps along lines, their metres (N,), distance to the others (N,).

    Distances beyond reach are inf: a search limited to the reach is many times faster.
    """
    xy, weight = middles([_ring(e) for e in elements], step_m)
    return xy, weight, distances(xy, others, reach_m)


def distances(xy: F64, others: Sequence[Element], reach_m: float) -> F64:
    """Return the distance (N,) of points (N, 2) to the nearest line or outline; inf beyond reach."""
    if not others or not len(xy):
        return np.full(len(xy), np.inf)
    lines = [_ring(e) for e in others]
    start, end = (np.concatenate([line[part] for line in lines]) for part in (slice(None, -1), slice(1, None)))
    # Comparing every point of a site with every segment is too slow: boxes first, then exact distances.
    boxes = shapely.box(*(np.minimum(start, end) - reach_m).T, *(np.maximum(start, end) + reach_m).T)
    segment, point = shapely.STRtree(shapely.points(xy)).query(boxes)
    step, offset = (end - start)[segment], xy[point] - start[segment]
    square = np.maximum((step * step).sum(axis=1), 1e-24)
    share = np.clip((step * offset).sum(axis=1) / square, 0.0, 1.0)
    apart = np.hypot(*(offset - share[:, None] * step).T)
    result = np.full(len(xy), np.inf)
    np.minimum.at(result, point, apart)
    return np.where(result <= reach_m, result, np.inf)


def middles(lines: Sequence[F64], step_m: float) -> tuple[F64, F64]:
    """Return the middles of equal steps along all lines (N, D), and the metres (N,) of each step in the plane.

    Columns beyond x and y (a height, a confidence) are interpolated. All lines are treated as one: `arc` is the
    length along their segments, without the gaps between lines.
    """
    if not lines:
        return np.zeros((0, 2)), np.zeros(0)
    start = np.concatenate([line[:-1] for line in lines])
    step = np.concatenate([line[1:] for line in lines]) - start
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    ends = np.cumsum([len(line) - 1 for line in lines])
    begins = np.concatenate([[0], ends[:-1]])
    length = arc[ends] - arc[begins]
    count = np.maximum(1, np.ceil(length / step_m - 1e-9)).astype(np.int64)
    line_of = np.repeat(np.arange(len(lines)), count)
    number = np.arange(len(line_of)) - np.repeat(np.cumsum(count) - count, count)
    weight = (length / count)[line_of]
    wanted = arc[begins][line_of] + (number + 0.5) * weight
    segment = np.clip(np.searchsorted(arc, wanted, side="right") - 1, begins[line_of], ends[line_of] - 1)
    share = (wanted - arc[segment]) / np.maximum(arc[segment + 1] - arc[segment], 1e-12)
    return start[segment] + share[:, None] * step[segment], weight


def _ring(element: Element) -> F64:
    plane = element.vertices[:, :2]
    return np.concatenate([plane, plane[:1]]) if element.closed else plane
