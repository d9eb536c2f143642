"""Writes a drive through the demo city in nuScenes' layout: tables, keyframes and map expansion."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.demo_city.city_drive import TRUE_MAP, TRUE_POSES, render_drive
from recon.demo_city.config import CityConfig
from recon.demo_city.true_map import drivable_areas
from recon.errors import storage_errors
from recon.formats.nuscenes.nuscenes_layout import token_of, write_nuscenes
from recon.progress import Tick, silent

NUSCENES_VERSION = "v1.0-demo"
# The format has no other type for a dashed line.
SEGMENT_TYPES = {"solid": "SINGLE_SOLID_WHITE", "double": "DOUBLE_SOLID_WHITE", "dashed": "DOUBLE_DASHED_WHITE"}
STOP_LINE_WIDTH_M = 0.4
LAYERS = (
    "node", "line", "polygon", "drivable_area", "road_segment", "road_block", "lane", "lane_connector", "ped_crossing",
    "walkway", "stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light",
)  # fmt: skip


def write_demo_nuscenes(folder: Path, config: CityConfig, tick: Tick = silent, *, threads: int = 2) -> None:
    """Render the drive of a seed into the data root `folder`, with true_poses.json beside the tables.

    The location `demo-city-SEED` names the map. The format has no id images. Raises DiskFull or StorageError.
    """
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".drive-", dir=folder))
    try:
        scene, log = render_drive(scratch, config, tick, threads=threads)
        location = f"demo-city-{config.seed}"
        elements = json.loads((scratch / TRUE_MAP).read_bytes())["elements"]
        areas = drivable_areas(scene.plan, scene.ground)
        write_nuscenes(
            log, folder, version=NUSCENES_VERSION, location=location, expansion=map_expansion(location, elements, areas)
        )
        with storage_errors(str(folder)):
            shutil.move(scratch / TRUE_POSES, folder / TRUE_POSES)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def map_expansion(name: str, elements: list[dict[str, Any]], areas: list[shapely.Polygon]) -> dict[str, Any]:
    """Return the expansion (version 1.3) of a true map's elements and drivable areas.

    Boundaries are the edges of the areas. Stop lines become narrow areas, as the format requires.
    """
    tables = _Layers(name)
    for element in elements:
        xy = np.array(element["vertices"], dtype=np.float64)[:, :2]
        if element["class"] == "divider":
            kind = SEGMENT_TYPES.get(element["style"], "NIL")
            line, nodes = tables.line(xy)
            # The type of a segment is stored with its first node; no segment starts at the last node.
            kinds = [kind] * (len(nodes) - 1) + ["NIL"]
            segments = [{"node_token": n, "segment_type": k} for n, k in zip(nodes, kinds, strict=True)]
            tables.add("lane_divider", line_token=line, lane_divider_segments=segments)
        elif element["class"] == "ped_crossing":
            tables.add("ped_crossing", polygon_token=tables.polygon(shapely.Polygon(xy)), road_segment_token="")
        elif element["class"] == "stop_line":
            area = shapely.LineString(xy).buffer(STOP_LINE_WIDTH_M / 2, cap_style="flat")
            cues: dict[str, list[str]] = {"ped_crossing_tokens": [], "traffic_light_tokens": []}
            polygon = tables.polygon(area)
            tables.add("stop_line", polygon_token=polygon, stop_line_type="STOP_SIGN", **cues, road_block_token="")
    for area in areas:
        tables.add("drivable_area", polygon_tokens=[tables.polygon(area)])
    farthest = [max((node[axis] for node in tables.rows["node"]), default=1.0) for axis in ("x", "y")]
    canvas = [float(max(1, math.ceil(edge))) for edge in farthest]
    return {"version": "1.3", **tables.rows, "arcline_path_3": {}, "connectivity": {}, "canvas_edge": canvas}


class _Layers:
    """The layers of one expansion."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.rows: dict[str, list[dict[str, Any]]] = {layer: [] for layer in LAYERS}

    def add(self, layer: str, **fields: Any) -> str:
        """Add a row and return its token."""
        token = token_of(self._name, layer, len(self.rows[layer]))
        self.rows[layer].append({"token": token, **fields})
        return token

    def _nodes(self, xy: F64) -> list[str]:
        return [self.add("node", x=x, y=y) for x, y in np.round(xy, 4).tolist()]

    def line(self, xy: F64) -> tuple[str, list[str]]:
        """Add a line; return its token and those of its nodes."""
        nodes = self._nodes(xy)
        return self.add("line", node_tokens=nodes), nodes

    def polygon(self, area: shapely.Polygon) -> str:
        """Add a polygon with its holes."""
        exterior, *holes = (self._nodes(shapely.get_coordinates(r)[:-1]) for r in (area.exterior, *area.interiors))
        inner = [{"node_tokens": hole} for hole in holes]
        return self.add("polygon", exterior_node_tokens=exterior, holes=inner)
