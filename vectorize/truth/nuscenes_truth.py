"""nuScenes' map expansion (`maps/expansion/<location>.json`) near a drive as a true RoadMap in the map's frame.

Lane and road dividers give dividers. Drivable areas, or road segments where there are none, give boundaries. Stop areas
give their long middle line. The expansion is flat: vertices have no height. It covers a whole city. Lines and crossings
far from the drive are left out, and boundaries are cut there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.drive import DriveLog
from recon.errors import InputInvalid
from recon.files import read_inside
from recon.formats.drawn_lines import area_edges, joined_lines, without_duplicates
from vectorize.road_map import Element, RoadMap, Style
from vectorize.truth.truth_elements import true_element

REACH_M = 100.0
LAYERS = ("node", "line", "polygon", "lane_divider", "road_divider", "ped_crossing", "stop_line")
AREA_LAYERS = ("drivable_area", "road_segment")
# Places to wait within a junction, where nothing is painted.
UNPAINTED_STOPS = frozenset({"TURN_STOP"})
_HINT = "Restore the file as nuScenes distributes it (map expansion v1.3)."


def read_nuscenes_truth(drive: DriveLog, *, reach_m: float = REACH_M) -> RoadMap:
    """Read the part of `drive.true_map` within `reach_m` of the driven path; InputInvalid names layer and row."""
    tables = _Expansion.open(drive)
    path = drive.path_xy_m()
    line = shapely.LineString(path) if len(path) > 1 else shapely.Point(path[0])
    near = line.buffer(reach_m)
    elements = [
        *_dividers(tables, near),
        *[true_element("ped_crossing", shapely.get_coordinates(area.exterior)[:-1], closed=True)
          for _, area in tables.areas("ped_crossing", near)],
        *[true_element("stop_line", _middle(area)) for row, area in tables.areas("stop_line", near)
          if row.get("stop_line_type") not in UNPAINTED_STOPS],
    ]  # fmt: skip
    ground = [area for layer in AREA_LAYERS[:1] for _, area in tables.areas(layer, near)]
    ground = ground or [area for _, area in tables.areas(AREA_LAYERS[1], near)]
    elements += [
        true_element("boundary", xy, closed=closed) for xy, closed in (area_edges(ground, near) if ground else [])
    ]
    return RoadMap(elements=tuple(elements), origin=drive.origin)


def _dividers(tables: _Expansion, near: shapely.Geometry) -> list[Element]:
    by_style: dict[Style, list[F64]] = {}
    for where, row in tables.rows("road_divider"):
        nodes, xy = tables.line(row, where)
        if shapely.LineString(xy).intersects(near):
            by_style.setdefault("unknown", []).append(xy)
    for where, row in tables.rows("lane_divider"):
        nodes, xy = tables.line(row, where)
        if not shapely.LineString(xy).intersects(near):
            continue
        # The type of a segment is stored with its first node.
        kinds = {s.get("node_token"): s.get("segment_type") for s in row.get("lane_divider_segments") or ()}
        styles = [(style_of(kinds.get(node)), i) for i, (node, _) in enumerate(pairwise(nodes))]
        for style, run in groupby(styles, key=lambda pair: pair[0]):
            at = [i for _, i in run]
            by_style.setdefault(style, []).append(xy[at[0] : at[-1] + 2])
    return [
        true_element("divider", line, style=style)
        for style, lines in by_style.items()
        for line in joined_lines([line for _, line in without_duplicates(lines)])
    ]


def style_of(segment_type: Any) -> Style:
    """Return the style of a segment type such as SINGLE_SOLID_WHITE; NIL (not painted) gives unknown."""
    name = segment_type if isinstance(segment_type, str) else ""
    # DOUBLE_DASHED_WHITE is the data set's only dashed type and is used for ordinary dashed lines.
    if "DASHED" in name:
        return "dashed"
    if name.startswith("DOUBLE"):
        return "double"
    return "solid" if "SOLID" in name or "ZIGZAG" in name else "unknown"


def _middle(area: shapely.Polygon) -> F64:
    """Return the two ends of an area's long middle line."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(area))[:4]
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    ends: F64 = 0.5 * np.stack([corners[0] + corners[3], corners[1] + corners[2]])
    return ends


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Expansion:
    """The layers of one expansion, with nodes, lines and polygons by token."""

    name: str
    body: dict[str, list[dict[str, Any]]]
    nodes: dict[str, tuple[float, float]]
    lines: dict[str, dict[str, Any]]
    polygons: dict[str, dict[str, Any]]

    @classmethod
    def open(cls, drive: DriveLog) -> _Expansion:
        """Read the expansion that a drive names."""
        name = drive.true_map
        try:
            body = json.loads(read_inside(drive.root.resolve(), name, where=name, kind=InputInvalid))
        except ValueError as error:
            raise InputInvalid(f"the map does not parse: {error}", where=name, hint=_HINT) from error
        if not isinstance(body, dict):
            raise InputInvalid("the map is not a JSON object", where=name, hint=_HINT)
        for layer in (*LAYERS, *AREA_LAYERS):
            rows = body.get(layer, [] if layer in AREA_LAYERS else None)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise InputInvalid(f"the map has no layer {layer}", where=name, hint=_HINT)
        nodes = {}
        for number, row in enumerate(body["node"]):
            x, y = row.get("x"), row.get("y")
            if not (isinstance(x, int | float) and isinstance(y, int | float) and np.isfinite([x, y]).all()):
                raise InputInvalid("x or y is not a finite number", where=f"{name}, node {number}", hint=_HINT)
            nodes[row.get("token")] = (float(x), float(y))
        tokens = [{row.get("token"): row for row in body[layer]} for layer in ("line", "polygon")]
        return cls(name=name, body=body, nodes=nodes, lines=tokens[0], polygons=tokens[1])

    def rows(self, layer: str) -> list[tuple[str, dict[str, Any]]]:
        """Return (where, row) of a layer."""
        return [(f"{self.name}, {layer} {number}", row) for number, row in enumerate(self.body.get(layer, []))]

    def line(self, row: dict[str, Any], where: str) -> tuple[list[str], F64]:
        """Return the node tokens of a row's line and their metres (N, 2)."""
        token = row.get("line_token")
        if token not in self.lines:
            raise InputInvalid(f"line_token {token!r} names no row", where=where, hint=_HINT)
        nodes = self.lines[token].get("node_tokens")
        xy = self._metres(nodes, where, least=2)
        assert isinstance(nodes, list)
        return nodes, xy

    def _metres(self, tokens: Any, where: str, *, least: int) -> F64:
        if not isinstance(tokens, list) or len(tokens) < least:
            raise InputInvalid(f"fewer than {least} nodes", where=where, hint=_HINT)
        lost = [token for token in tokens if token not in self.nodes]
        if lost:
            raise InputInvalid(f"node token {lost[0]!r} names no row", where=where, hint=_HINT)
        return np.array([self.nodes[token] for token in tokens])

    def areas(self, layer: str, near: shapely.Geometry) -> list[tuple[dict[str, Any], shapely.Polygon]]:
        """Return (row, polygon) of the areas of a layer near the drive."""
        result = []
        for where, row in self.rows(layer):
            tokens = row.get("polygon_tokens", [row.get("polygon_token")])
            for token in tokens if isinstance(tokens, list) else [tokens]:
                if token not in self.polygons:
                    raise InputInvalid(f"polygon_token {token!r} names no row", where=where, hint=_HINT)
                entry = self.polygons[token]
                shell = self._metres(entry.get("exterior_node_tokens"), where, least=3)
                holes = [self._metres(hole.get("node_tokens"), where, least=3) for hole in entry.get("holes") or ()]
                area = shapely.Polygon(shell, [hole for hole in holes if len(hole)])
                if shapely.box(*area.bounds).intersects(near):
                    result += [(row, part) for part in _valid_parts(area, where)]
        return [(row, area) for row, area in result if area.intersects(near)]


def _valid_parts(area: shapely.Polygon, where: str) -> list[shapely.Polygon]:
    """Return the valid parts of an area; InputInvalid if it crosses itself by more than drawing precision."""
    if area.is_valid:
        return [area]
    parts = [
        part
        for part in shapely.get_parts(shapely.make_valid(area, method="structure", keep_collapsed=False))
        if part.geom_type == "Polygon"
    ]
    # Rings that touch themselves are common in the data set and harmless: their area does not change.
    if abs(sum(part.area for part in parts) - area.area) > 0.01 * area.area + 0.01:
        raise InputInvalid(f"the area crosses itself: {shapely.is_valid_reason(area)}", where=where, hint=_HINT)
    return parts
