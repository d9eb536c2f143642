"""The true map of a city in world metres, from the plan that the ground was painted from."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from skimage.measure import find_contours

from recon.arrays import F64
from recon.demo_city.plan.marking import MAIN
from recon.demo_city.plan.plan_kernels import START, signed_kerb_distance
from recon.demo_city.plan.street import RUN_OUT_M, Street
from recon.demo_city.scene.ground import Ground

FORMAT = "roadscribe-true-map"
VERSION = 1
VERTEX_SPACING_M = 1.0
REACH_M = 60.0  # of the map before the first and beyond the last pose; the cameras do not resolve more
ARM_REACH_M = 40.0  # of the map along side streets
CONTOUR_CELL_M = 0.25


def true_map(street: Street, ground: Ground) -> dict[str, Any]:
    """Return the map as a JSON object: `elements`, each with class, style, closed and world vertices (N, 3).

    Lane lines are dividers where they are painted. Boundaries are the feet of the kerbs, around corners and islands
    too: the drivable ground ends there.
    """
    low, high = _range(street)
    elements = []
    for divider in street.dividers:
        s0, s1 = max(divider.s0_m, low), min(divider.s1_m, high)
        if divider.street != MAIN:
            s0, s1 = divider.s0_m, min(divider.s1_m, float(street.arms[divider.street, START]) + ARM_REACH_M)
        if s1 - s0 < 1.0 or not _inside(street, divider.street, low, high):
            continue
        s = np.linspace(s0, s1, max(2, round((s1 - s0) / VERTEX_SPACING_M) + 1))
        xy = street.at(divider.street, s, divider.t_m)
        elements.append(_element(ground, "divider", xy, style=divider.style))
    elements.extend(_boundaries(street, ground))
    for crossing in street.crossings:
        middle = 0.5 * (crossing.s0_m + crossing.s1_m)
        if _inside(street, crossing.street, low, high) and (crossing.street != MAIN or low < middle < high):
            s = np.array([crossing.s0_m, crossing.s1_m, crossing.s1_m, crossing.s0_m])
            t = np.array([crossing.t0_m, crossing.t0_m, crossing.t1_m, crossing.t1_m])
            elements.append(_element(ground, "ped_crossing", street.at(crossing.street, s, t), closed=True))
    for mark in street.markings:
        middle = 0.5 * (mark.s0_m + mark.s1_m)
        if mark.road_class.name != "STOP_LINE" or not _inside(street, mark.street, low, high):
            continue
        if mark.street != MAIN or low < middle < high:
            xy = street.at(mark.street, np.full(2, middle), np.array([mark.t0_m, mark.t1_m]))
            elements.append(_element(ground, "stop_line", xy))
    return {"format": FORMAT, "version": VERSION, "elements": elements}


def _inside(street: Street, number: int, low: float, high: float) -> bool:
    """Return whether a street belongs to the map; arms do if their mouths lie in its range."""
    if number == MAIN:
        return True
    return any(low + 10.0 < j.s_m < high - 10.0 for j in street.junctions if number in j.arms)


def _range(street: Street) -> tuple[float, float]:
    """Return the range of the map along the main street, metres."""
    return float(street.line.s[0]) + RUN_OUT_M - REACH_M, float(street.line.s[-1]) - RUN_OUT_M + REACH_M


def _kerb_field(street: Street, ground: Ground) -> tuple[F64, F64, Any]:
    """Return the south-western corner (2,), signed distances (H, W) to the kerb, and the mask (H, W) of the map."""
    low, high = _range(street)
    spine = street.line.at(np.linspace(low, high, 50))
    west, south = spine.min(axis=0) - ARM_REACH_M - 20.0
    size = spine.max(axis=0) + ARM_REACH_M + 20.0 - (west, south)
    columns, rows = np.ceil(size / CONTOUR_CELL_M).astype(int) + 1
    x, y = np.meshgrid(west + np.arange(columns) * CONTOUR_CELL_M, south + np.arange(rows) * CONTOUR_CELL_M)
    xy = np.stack([x, y], axis=-1)
    distance = signed_kerb_distance(ground.plan, xy.reshape(-1, 2)).reshape(rows, columns)
    s, t = street.line.road_coordinates(xy[::4, ::4])
    kerb = max(street.section.left_kerb_t_m, -street.section.right_kerb_t_m)
    kept = (s > low) & (s < high) & (np.abs(t) < kerb + ARM_REACH_M)
    mask = np.repeat(np.repeat(kept, 4, axis=0), 4, axis=1)[:rows, :columns]
    return np.array([west, south]), distance, mask


def drivable_areas(street: Street, ground: Ground) -> list[shapely.Polygon]:
    """Return the drivable ground of the map as polygons, with islands as holes; ends of the map are cut straight."""
    corner, distance, mask = _kerb_field(street, ground)
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


def _boundaries(street: Street, ground: Ground) -> list[dict[str, Any]]:
    """Trace the feet of the kerbs: level zero of the signed distance, refined to it by Newton's method."""
    plan = ground.plan
    (west, south), distance, mask = _kerb_field(street, ground)
    elements = []
    for ring in find_contours(distance, 0.0, mask=mask):  # type: ignore[no-untyped-call]
        points = np.stack([west + ring[:, 1] * CONTOUR_CELL_M, south + ring[:, 0] * CONTOUR_CELL_M], axis=-1)
        closed = bool(np.array_equal(ring[0], ring[-1]))
        points = _spaced(points[:-1] if closed else points, closed=closed)
        if len(points) > 3:
            # Slightly towards the road, so that the height is that of the gutter, not of the kerb's face.
            elements.append(_element(ground, "boundary", _refined(plan, points, -0.005), closed=closed))
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
