"""The HD map of an Argoverse 2 log (`log_map_archive_*.json`) as a true RoadMap in the log's world.

Every painted lane boundary is a divider, edge lines too. A lane boundary marked NONE is not painted and is left out.
Drivable areas give boundaries, crossings give polygons. Argoverse 2 has no stop lines.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.errors import InputInvalid
from recon.files import read_inside
from recon.formats.argoverse2.city_frame import city_code, place_world
from recon.formats.argoverse2.pose_table import read_poses
from recon.geometry import apply
from vectorize.road_map import Element, RoadMap, Style
from vectorize.truth.truth_elements import area_edges, joined_lines, true_element, with_height, without_duplicates

LAYERS = ("lane_segments", "pedestrian_crossings", "drivable_areas")
_STYLES: dict[str, Style | None] = {
    "NONE": None,
    "UNKNOWN": "unknown",
    **dict.fromkeys(("SOLID_WHITE", "SOLID_YELLOW", "SOLID_BLUE"), "solid"),
    **dict.fromkeys(("DASHED_WHITE", "DASHED_YELLOW"), "dashed"),
    **{
        f"{kind}_{color}": "double"
        for kind in ("DOUBLE_SOLID", "DOUBLE_DASH", "SOLID_DASH", "DASH_SOLID")
        for color in ("WHITE", "YELLOW")
    },
}
_HINT = "Restore the file as Argoverse 2 distributes it."


def read_argoverse2_truth(root: Path, archive: str) -> RoadMap:
    """Read the true map of the log in `root`, in the world frame that `recon.formats` gives the drive.

    Raises InputInvalid naming the file and the faulty entry, or PoseInvalid where the log has no poses.
    """
    root = root.resolve()
    body = _body(root, archive)
    poses = read_poses(root)
    world_from_city, origin = place_world(city_code(root), poses.city_from_ego[0, :3, 3])
    elements: list[Element] = []
    elements += _dividers(body["lane_segments"], archive)
    elements += [
        true_element("ped_crossing", _crossing(entry, f"{archive}, pedestrian_crossings {key}"), closed=True)
        for key, entry in body["pedestrian_crossings"].items()
    ]
    elements += _boundaries(body["drivable_areas"], archive)
    placed = tuple(
        true_element(e.element_class, apply(world_from_city, e.vertices), style=e.style, closed=e.closed)
        for e in elements
    )
    return RoadMap(elements=placed, origin=origin)


def _body(root: Path, archive: str) -> dict[str, dict[str, Any]]:
    try:
        body = json.loads(read_inside(root, archive, where=archive, kind=InputInvalid))
    except ValueError as error:
        raise InputInvalid(f"the map does not parse: {error}", where=archive, hint=_HINT) from error
    for layer in LAYERS:
        if not isinstance(body, dict) or not isinstance(body.get(layer), dict):
            raise InputInvalid(f"the map has no layer {layer}", where=archive, hint=_HINT)
    return {layer: body[layer] for layer in LAYERS}


def _points(entry: Any, field: str, where: str, *, least: int) -> F64:
    """Return (N, 3) city metres of a list of points; repeated points are dropped."""
    try:
        points = np.array([[p["x"], p["y"], p["z"]] for p in entry[field]], dtype=np.float64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise InputInvalid(f"{field} is not a list of points: {error}", where=where, hint=_HINT) from error
    if not np.isfinite(points).all():
        raise InputInvalid(f"{field} holds a coordinate that is not finite", where=where, hint=_HINT)
    points = points[np.r_[True, np.any(np.diff(points[:, :2], axis=0) != 0, axis=1)]] if len(points) else points
    if len(points) < least:
        raise InputInvalid(f"{field} has {len(points)} different points, fewer than {least}", where=where, hint=_HINT)
    return points


def _dividers(lanes: dict[str, Any], archive: str) -> list[Element]:
    by_style: dict[Style, list[F64]] = {}
    for key, lane in lanes.items():
        where = f"{archive}, lane_segments {key}"
        for side in ("left", "right"):
            mark = lane.get(f"{side}_lane_mark_type") if isinstance(lane, dict) else None
            if mark not in _STYLES:
                raise InputInvalid(f"{side}_lane_mark_type {mark!r} is unknown", where=where, hint=_HINT)
            style = _STYLES[mark]
            if style is not None:
                line = _points(lane, f"{side}_lane_boundary", where, least=2)
                by_style.setdefault(style, []).append(line)
    return [
        true_element("divider", line, style=style)
        for style, lines in by_style.items()
        for line in joined_lines(without_duplicates(lines))
    ]


def _crossing(entry: Any, where: str) -> F64:
    """Return the polygon between two edges, which may have either direction."""
    first, second = _points(entry, "edge1", where, least=2), _points(entry, "edge2", where, least=2)
    for other in (second[::-1], second):
        ring = np.concatenate([first, other])
        if shapely.Polygon(ring[:, :2]).is_valid:
            return ring
    raise InputInvalid("the two edges enclose no area", where=where, hint=_HINT)


def _boundaries(areas: dict[str, Any], archive: str) -> list[Element]:
    polygons, vertices = [], []
    for key, entry in areas.items():
        where = f"{archive}, drivable_areas {key}"
        ring = _points(entry, "area_boundary", where, least=3)
        polygon = shapely.Polygon(ring[:, :2])
        if not polygon.is_valid:
            reason = shapely.is_valid_reason(polygon)
            raise InputInvalid(f"area_boundary crosses itself: {reason}", where=where, hint=_HINT)
        polygons.append(polygon)
        vertices.append(ring)
    if not polygons:
        return []
    known = np.concatenate(vertices)
    return [true_element("boundary", with_height(xy, known), closed=closed) for xy, closed in area_edges(polygons)]
