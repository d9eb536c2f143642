"""The true map of a city in world metres, from the plan that the ground was painted from."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from skimage.measure import find_contours

from recon.arrays import F64
from recon.demo_city.plan.city_plan import CityPlan
from recon.demo_city.plan.plan_kernels import signed_kerb_distance
from recon.demo_city.scene.ground import Ground

FORMAT = "roadscribe-true-map"
VERSION = 1
CONTOUR_CELL_M = 0.25


def true_map(plan: CityPlan, ground: Ground) -> dict[str, Any]:
    """Return the map as a JSON object: `elements`, each with class, style, closed and world vertices (N, 3).

    Boundaries are the feet of the kerbs, around corners and islands too: the drivable ground ends there.
    """
    paint = plan.true_paint()
    elements = [_element(ground, "divider", xy, style=style) for xy, style in paint.dividers]
    elements.extend(_boundaries(plan, ground))
    elements.extend(_element(ground, "ped_crossing", ring, closed=True) for ring in paint.crossings)
    elements.extend(_element(ground, "stop_line", xy) for xy in paint.stop_lines)
    return {"format": FORMAT, "version": VERSION, "elements": elements}


def _kerb_field(plan: CityPlan, ground: Ground) -> tuple[F64, F64, Any]:
    """Return the south-western corner (2,), signed distances (H, W) to the kerb, and the mask (H, W) of the map."""
    low, high = plan.true_bounds()
    columns, rows = np.ceil((high - low) / CONTOUR_CELL_M).astype(int) + 1
    x, y = np.meshgrid(low[0] + np.arange(columns) * CONTOUR_CELL_M, low[1] + np.arange(rows) * CONTOUR_CELL_M)
    xy = np.stack([x, y], axis=-1)
    distance = signed_kerb_distance(ground.plan, xy.reshape(-1, 2)).reshape(rows, columns)
    mask = np.repeat(np.repeat(plan.is_true(xy[::4, ::4]), 4, axis=0), 4, axis=1)[:rows, :columns]
    return low, distance, mask


def drivable_areas(plan: CityPlan, ground: Ground) -> list[shapely.Polygon]:
    """Return the drivable ground of the map as polygons, with islands as holes; ends of the map are cut straight."""
    corner, distance, mask = _kerb_field(plan, ground)
    field = np.pad(np.where(mask, distance, np.maximum(distance, 0.5 * CONTOUR_CELL_M)), 1, constant_values=1.0)
    rings = [
        shapely.Polygon(corner + (ring[:, ::-1] - 1.0) * CONTOUR_CELL_M)
        for ring in find_contours(field, 0.0)  # type: ignore[no-untyped-call]
        if len(ring) > 3
    ]
    area = shapely.Polygon()
    for ring in sorted(rings, key=lambda polygon: -polygon.area):  # an island lies inside its street
        area = area.symmetric_difference(ring)
    parts = shapely.get_parts(shapely.simplify(area, 0.01)).tolist()
    return [part for part in parts if part.geom_type == "Polygon"]


def _boundaries(plan: CityPlan, ground: Ground) -> list[dict[str, Any]]:
    """Trace the feet of the kerbs: level zero of the signed distance, refined to it by Newton's method."""
    (west, south), distance, mask = _kerb_field(plan, ground)
    elements = []
    for ring in find_contours(distance, 0.0, mask=mask):  # type: ignore[no-untyped-call]
        points = np.stack([west + ring[:, 1] * CONTOUR_CELL_M, south + ring[:, 0] * CONTOUR_CELL_M], axis=-1)
        closed = bool(np.array_equal(ring[0], ring[-1]))
        points = _spaced(points[:-1] if closed else points, closed=closed)
        if len(points) > 3:
            # Slightly towards the road, so that the height is that of the gutter, not of the kerb's face.
            elements.append(_element(ground, "boundary", _refined(ground.plan, points, -0.005), closed=closed))
    return elements


def _spaced(points: F64, *, closed: bool) -> F64:
    line = np.concatenate([points, points[:1]]) if closed else points
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    # Corners of small islands need denser vertices than a long kerb.
    count = max(round(along[-1] / (0.4 if closed else 0.75)), 3)
    at = np.linspace(0.0, along[-1], count + 1)
    even = np.stack([np.interp(at, along, line[:, i]) for i in range(2)], axis=-1)
    return even[:-1] if closed else even


def _refined(plan: Any, points: F64, level: float) -> F64:
    step = 0.02
    for _ in range(4):
        miss = signed_kerb_distance(plan, points) - level
        slope = [
            (signed_kerb_distance(plan, points + shift) - signed_kerb_distance(plan, points - shift)) / (2 * step)
            for shift in (np.array([step, 0.0]), np.array([0.0, step]))
        ]
        gradient = np.stack(slope, axis=-1)
        points = points - gradient * (miss / np.maximum((gradient**2).sum(axis=1), 0.05))[:, None]
    return points


def _element(
    ground: Ground, element_class: str, xy: F64, *, style: str = "unknown", closed: bool = False
) -> dict[str, Any]:
    vertices = [[round(x, 4), round(y, 4), round(ground.height(x, y), 4)] for x, y in xy.tolist()]
    return {"class": element_class, "style": style, "closed": closed, "vertices": vertices}
