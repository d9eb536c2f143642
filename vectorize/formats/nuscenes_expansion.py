"""RoadMap as the JSON of a nuScenes map expansion (version 1.3)."""

from __future__ import annotations

import math
import uuid
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.bev.bev_map import BevMap
from vectorize.formats.drivable_area import OUTLINE_NOTE, SMALL_AREAS_NOTE, drivable_polygons
from vectorize.formats.exported_files import ExportedFiles, json_bytes
from vectorize.formats.simple_features import SimpleFeature, simple_features
from vectorize.road_map import RoadMap, numbers_of

LOSES = (
    "height: nodes have two coordinates",
    "seen, confidence, score, views and trips: only in the member `roadscribe`, which the devkit does not read",
    "styles: segment types combine pattern and colour; the colour is not measured and is written as white; dashed"
    " lines and pairs of a solid and a dashed line are NIL, because the format has no type for them",
    "boundaries, stop lines and hatched areas: only in the member `roadscribe` (the format derives boundaries from"
    " lane areas and draws stop lines as areas)",
    "lanes, road segments, connectivity: not measured, so those layers are empty and every divider is a lane_divider",
    OUTLINE_NOTE,
    SMALL_AREAS_NOTE,
)
EMPTY_LAYERS = ("road_segment", "road_block", "lane", "walkway", "carpark_area", "stop_line", "road_divider")
SEGMENT_TYPE = {"solid": "SINGLE_SOLID_WHITE", "double": "DOUBLE_SOLID_WHITE"}


def write_nuscenes(name: str, road_map: RoadMap, bev: BevMap) -> ExportedFiles:
    """Return `<name>_nuscenes_map.json` in the drive's own metres, so that poses of the drive fit the map.

    Raises ArtifactInvalid for a vertex that is not finite.
    """
    features, notes = simple_features(road_map)
    tables = _ExpansionTables(name, road_map.trips)
    for feature in features:
        tables.add(feature)
    tables.add_drivable(drivable_polygons(bev))
    elsewhere = sum(feature.element.element_class not in ("divider", "ped_crossing") for feature in features)
    if elsewhere:
        notes.append(
            f"{elsewhere} boundaries, stop lines, centre lines and hatched areas are in the member `roadscribe` only"
        )
    return ExportedFiles(files={f"{name}_nuscenes_map.json": json_bytes(tables.body())}, notes=tuple(notes))


class _ExpansionTables:
    """The tables of one map; a token is the digest of the map's name, the table and the row's number."""

    def __init__(self, name: str, trips: tuple[str, ...]) -> None:
        self._name = name
        self._rows: dict[str, list[dict[str, Any]]] = {}
        layers = ("node", "line", "polygon", "drivable_area", "ped_crossing", "lane_divider", *EMPTY_LAYERS)
        for layer in (*layers, "traffic_light", "lane_connector"):
            self._rows[layer] = []
        self._facts: list[dict[str, Any]] = []
        self._trips = trips

    def _add(self, layer: str, row: dict[str, Any]) -> str:
        rows = self._rows[layer]
        token = str(uuid.uuid5(uuid.NAMESPACE_OID, f"roadscribe/{self._name}/{layer}/{len(rows)}"))
        rows.append({"token": token, **row})
        return token

    def _nodes(self, xy: F64) -> list[str]:
        return [self._add("node", {"x": x, "y": y}) for x, y in (np.round(xy, 4) + 0.0).tolist()]

    def _polygon(self, exterior: F64, holes: list[F64]) -> str:
        inner = [{"node_tokens": self._nodes(hole)} for hole in holes]
        return self._add("polygon", {"exterior_node_tokens": self._nodes(exterior), "holes": inner})

    def add(self, feature: SimpleFeature) -> None:
        """Add a feature to the layer of its class, or only to the member `roadscribe`."""
        element = feature.element
        if feature.area:
            polygon = self._polygon(feature.vertices[:, :2], [])
            token = polygon
            if element.element_class == "ped_crossing":
                token = self._add("ped_crossing", {"polygon_token": polygon, "road_segment_token": ""})
        else:
            nodes = self._nodes(feature.vertices[:, :2])
            nodes += nodes[:1] if feature.closed else []
            token = self._add("line", {"node_tokens": nodes})
            if element.element_class == "divider":
                kind = SEGMENT_TYPE.get(element.style, "NIL")
                # The type of a segment is stored with its first node; no segment starts at the last node.
                kinds = [kind] * (len(nodes) - 1) + ["NIL"]
                segments = [{"node_token": n, "segment_type": k} for n, k in zip(nodes, kinds, strict=True)]
                token = self._add("lane_divider", {"line_token": token, "lane_divider_segments": segments})
        self._facts.append(
            {
                "token": token,
                "class": element.element_class,
                "style": element.style,
                "score": round(element.score, 4),
                "seen": element.seen.tolist(),
                "confidence": np.round(element.confidence.astype(np.float64), 4).tolist(),
                "views": element.views.tolist(),
                "trips": [numbers_of(bits) for bits in element.trips.tolist()],
            }
        )

    def add_drivable(self, polygons: list[shapely.Polygon]) -> None:
        """Add the drivable area, one record per polygon."""
        for polygon in polygons:
            rings = [shapely.get_coordinates(ring)[:-1] for ring in (polygon.exterior, *polygon.interiors)]
            self._add("drivable_area", {"polygon_tokens": [self._polygon(rings[0], rings[1:])]})

    def body(self) -> dict[str, Any]:
        """Return the file's JSON; the canvas reaches from zero to the farthest node."""
        farthest = [max((node[axis] for node in self._rows["node"]), default=1.0) for axis in ("x", "y")]
        return {
            "version": "1.3",
            **self._rows,
            "arcline_path_3": {},
            "connectivity": {},
            "canvas_edge": [float(max(1, math.ceil(edge))) for edge in farthest],
            "roadscribe": {
                "name": self._name,
                "frame": "local metres, x east, y north",
                "trips": list(self._trips),
                "elements": self._facts,
            },
        }
