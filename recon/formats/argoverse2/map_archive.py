"""The HD map of an Argoverse 2 log (`log_map_archive_*.json`): lane segments, crossings and drivable areas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.errors import InputInvalid
from recon.files import read_inside

LAYERS = ("lane_segments", "pedestrian_crossings", "drivable_areas")
# Of a double line the first word is the line beside the lane that states it.
MARKS = frozenset({"NONE", "UNKNOWN", "SOLID_BLUE"}) | {
    f"{kind}_{color}"
    for kind in ("SOLID", "DASHED", "DOUBLE_SOLID", "DOUBLE_DASH", "SOLID_DASH", "DASH_SOLID")
    for color in ("WHITE", "YELLOW")
}
_HINT = "Restore the file as Argoverse 2 distributes it."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaneSegment:
    """A piece of one lane between two borders, city metres."""

    key: str
    left: F64  # (N, 3) in the direction of traffic; may be empty where nothing is painted
    right: F64  # (M, 3)
    left_mark: str  # one of MARKS
    right_mark: str
    successors: tuple[str, ...] = ()
    kind: str = "VEHICLE"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapArchive:
    """The content of a map archive, city metres."""

    lanes: tuple[LaneSegment, ...]
    crossings: tuple[tuple[F64, F64], ...]  # two edges (N, 3) and (M, 3) across the road, of one direction
    areas: tuple[F64, ...]  # outlines (N, 3) of drivable ground, which do not cross themselves


def read_map_archive(root: Path, archive: str) -> MapArchive:
    """Read the map archive at a path below `root`; raises InputInvalid naming the file and the faulty entry."""
    body = _body(root, archive)
    return MapArchive(
        lanes=tuple(_lane(key, lane, f"{archive}, lane_segments {key}") for key, lane in body[LAYERS[0]].items()),
        crossings=tuple(_crossing(entry, f"{archive}, {LAYERS[1]} {key}") for key, entry in body[LAYERS[1]].items()),
        areas=tuple(_area(entry, f"{archive}, {LAYERS[2]} {key}") for key, entry in body[LAYERS[2]].items()),
    )


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


def _lane(key: str, entry: Any, where: str) -> LaneSegment:
    borders, marks = {}, {}
    for side in ("left", "right"):
        mark = entry.get(f"{side}_lane_mark_type") if isinstance(entry, dict) else None
        if mark not in MARKS:
            raise InputInvalid(f"{side}_lane_mark_type {mark!r} is unknown", where=where, hint=_HINT)
        marks[side] = mark
        borders[side] = _points(entry, f"{side}_lane_boundary", where, least=0 if mark == "NONE" else 2)
    successors = entry.get("successors")
    return LaneSegment(
        key=key,
        left=borders["left"],
        right=borders["right"],
        left_mark=marks["left"],
        right_mark=marks["right"],
        successors=tuple(map(str, successors)) if isinstance(successors, list) else (),
        kind=str(entry.get("lane_type", "VEHICLE")),
    )


def _crossing(entry: Any, where: str) -> tuple[F64, F64]:
    """Return the two edges of a crossing in one direction; the archive gives them in either."""
    first, second = _points(entry, "edge1", where, least=2), _points(entry, "edge2", where, least=2)
    for other in (second, second[::-1]):
        if shapely.Polygon(np.concatenate([first, other[::-1]])[:, :2]).is_valid:
            return first, other
    raise InputInvalid("the two edges enclose no area", where=where, hint=_HINT)


def _area(entry: Any, where: str) -> F64:
    ring = _points(entry, "area_boundary", where, least=3)
    polygon = shapely.Polygon(ring[:, :2])
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        raise InputInvalid(f"area_boundary crosses itself: {reason}", where=where, hint=_HINT)
    return ring
