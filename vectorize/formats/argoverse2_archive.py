"""RoadMap as the JSON of an Argoverse 2 map archive (`log_map_archive_<name>.json`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.bev.bev_map import BevMap
from vectorize.formats.drivable_area import (
    OUTLINE_NOTE,
    SMALL_AREAS_NOTE,
    drivable_polygons,
    ground_under,
    without_holes,
)
from vectorize.formats.exported_files import ExportedFiles, json_bytes
from vectorize.formats.simple_features import SimpleFeature, require_heights, simple_features
from vectorize.formats.strips import Strip, find_strips, neighbours
from vectorize.road_map import MIRRORED, Element, RoadMap, Style

LOSES = (
    "separate dividers and boundaries: a line exists only as the side of a lane segment, so only stretches with a"
    " nearly parallel neighbour 2 to 6 m away are written",
    "directions, successors and predecessors: not measured; a segment has the direction of its first traced side",
    "lane types: every strip is a VEHICLE lane, even where cars park",
    "styles: mark types combine pattern and colour; the colour is not measured and is written as white",
    "stop lines, hatched areas, seen, confidence, score, views and trips",
    OUTLINE_NOTE,
    SMALL_AREAS_NOTE,
)
MARK: dict[Style, str] = {
    "solid": "SOLID_WHITE",
    "dashed": "DASHED_WHITE",
    "double": "DOUBLE_SOLID_WHITE",
    "solid_dashed": "SOLID_DASH_WHITE",
    "dashed_solid": "DASH_SOLID_WHITE",
    "unknown": "UNKNOWN",
}


def write_argoverse2(name: str, road_map: RoadMap, bev: BevMap) -> ExportedFiles:
    """Return `log_map_archive_<name>.json` in the drive's own metres, so that poses of the drive fit the map.

    Raises ArtifactInvalid for a vertex that is not finite or has no height.
    """
    features, notes = simple_features(road_map)
    lines = [
        feature for feature in features if feature.element.element_class in ("divider", "boundary") and not feature.area
    ]
    crossings = [f for f in features if f.area and f.element.element_class == "ped_crossing"]
    require_heights([*lines, *crossings], "Argoverse 2")
    elements = [feature.element for feature in lines]
    strips = find_strips(elements)
    held = {index for strip in strips for index in (strip.left, strip.right)}
    for element_class in ("divider", "boundary"):
        every = [i for i, e in enumerate(elements) if e.element_class == element_class]
        alone = sum(i not in held for i in every)
        if alone:
            notes.append(
                f"{alone} of {len(every)} {element_class} elements have no neighbour to form a lane segment with"
            )
    ids = iter(range(1, 1_000_000_000))
    segment_ids = [next(ids) for _ in strips]
    areas = [piece for polygon in drivable_polygons(bev) for piece in without_holes(polygon)]
    body = {
        "pedestrian_crossings": dict(_crossing(next(ids), feature) for feature in crossings),
        "lane_segments": dict(_segments(strips, segment_ids, elements)),
        "drivable_areas": dict(_drivable(next(ids), piece, bev) for piece in areas),
    }
    return ExportedFiles(files={f"log_map_archive_{name}.json": json_bytes(body)}, notes=tuple(notes))


def _segments(strips: list[Strip], ids: list[int], elements: list[Element]) -> Iterator[tuple[str, dict[str, Any]]]:
    left: dict[int, int] = {}
    right: dict[int, int] = {}
    for i, j in neighbours(strips):
        a, b = (i, j) if strips[i].left == strips[j].right else (j, i)  # b lies to the left of a
        if strips[a].left == strips[b].right:
            left.setdefault(a, ids[b])
            right.setdefault(b, ids[a])
    for k, (strip, own) in enumerate(zip(strips, ids, strict=True)):
        yield (
            str(own),
            {
                "id": own,
                "is_intersection": False,
                "lane_type": "VEHICLE",
                "left_lane_boundary": _points(strip.left_m),
                "left_lane_mark_type": _mark(elements[strip.left], strip.left_m, is_left=True),
                "right_lane_boundary": _points(strip.right_m),
                "right_lane_mark_type": _mark(elements[strip.right], strip.right_m, is_left=False),
                "successors": [],
                "predecessors": [],
                "right_neighbor_id": right.get(k),
                "left_neighbor_id": left.get(k),
            },
        )


def _mark(element: Element, side_m: F64, *, is_left: bool) -> str:
    """Return the mark type of a side of a segment, whose direction may be opposite to that of the element.

    Of a solid line beside a dashed one, the first word of the type names the line beside the lane.
    """
    if element.element_class != "divider":
        return "NONE"
    line = shapely.LineString(element.vertices[:, :2])
    first, last = (line.project(shapely.Point(point)) for point in side_m[[0, -1], :2])
    return MARK[MIRRORED.get(element.style, element.style) if (first > last) != is_left else element.style]


def _crossing(own: int, feature: SimpleFeature) -> tuple[str, dict[str, Any]]:
    """Return a crossing as its two long edges: the outline cut at its short ends, every vertex kept."""
    outline = feature.vertices
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.Polygon(outline[:, :2])).exterior)[:4]
    if np.hypot(*(corners[1] - corners[0])) < np.hypot(*(corners[2] - corners[1])):
        corners = np.roll(corners, -1, axis=0)  # now from corner 0 to corner 1 is a long side
    away = np.hypot(*(outline[:, None, :2] - corners).transpose(2, 0, 1))
    a, b, c, d = (int(k) for k in away.argmin(axis=0))
    # Both rings may have either direction; reverse the outline if a, b, c, d are not in this order.
    count = len(outline)
    if (b - a) % count > (d - a) % count:
        outline, (a, b, c, d) = outline[::-1], (count - 1 - k for k in (a, b, c, d))
    first = outline[[(a + k) % count for k in range((b - a) % count + 1)]]
    second = outline[[(b + 1 + k) % count for k in range(count - len(first))]]
    if len(second) < 2 or len(first) < 2:  # a triangle: both edges end at its tip
        half = count // 2
        first, second = outline[: half + 1], np.concatenate([outline[half + 1 :], outline[:1]])
    return str(own), {"edge1": _points(first), "edge2": _points(second[::-1]), "id": own}


def _drivable(own: int, piece: shapely.Polygon, bev: BevMap) -> tuple[str, dict[str, Any]]:
    ring = shapely.get_coordinates(piece.exterior)[:-1]
    return str(own), {"area_boundary": _points(np.c_[ring, ground_under(bev, ring)]), "id": own}


def _points(vertices: F64) -> list[dict[str, float]]:
    return [{"x": x, "y": y, "z": z} for x, y, z in (np.round(vertices, 3) + 0.0).tolist()]
