"""RoadMap as GeoPackage: one layer a class, for QGIS and other desktop systems."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vectorize.formats.exported_files import Written, missing_package, origin_of
from vectorize.formats.feature_table import Row, flat_note, row_of
from vectorize.formats.simple_features import Shape, shapes_of
from vectorize.road_map import ElementClass, RoadMap

LOSES = (
    "lists: `seen`, `confidence`, `views` and `trips` of each vertex are JSON texts in a column",
    "closed lines: an island's boundary is a line string whose ends meet",
)
# GDAL would write the time of day into the file; equal maps give equal bytes.
FIXED_TIME = "1980-01-01T00:00:00Z"


def write_geopackage(name: str, road_map: RoadMap) -> Written:
    """Return `<name>.gpkg` in EPSG:4326; a class without elements is an empty layer.

    Raises ConfigInvalid without an origin or without pyogrio, ArtifactInvalid for a vertex that is not finite.
    """
    origin = origin_of(road_map, "GeoPackage")
    shapes, notes = shapes_of(road_map)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.gpkg"
        for element_class in get_args(ElementClass):
            chosen = [shape for shape in shapes if shape.element.element_class == element_class]
            _write_layer(path, element_class, chosen, [row_of(shape, road_map, origin) for shape in chosen])
        return Written(files={path.name: path.read_bytes()}, notes=(*notes, *flat_note(shapes)))


def _write_layer(path: Path, layer: str, shapes: list[Shape], rows: list[Row]) -> None:
    try:
        import pyogrio
        from pyogrio import raw
    except ImportError as error:
        raise missing_package("pyogrio", "GeoPackage") from error
    columns: dict[str, Any] = {
        "element": np.array([row.element for row in rows], dtype=np.int32),
        "class": np.array([row.element_class for row in rows], dtype=object),
        "style": np.array([row.style for row in rows], dtype=object),
        "closed": np.array([row.closed for row in rows], dtype=bool),
        "score": np.array([row.score for row in rows], dtype=np.float64),
        "length_m": np.array([row.length_m for row in rows], dtype=np.float64),
        "seen_share": np.array([row.seen_share for row in rows], dtype=np.float64),
    }
    for name in ("seen", "confidence", "views", "trips", "vertex_trips"):
        columns[name] = np.array([json.dumps(getattr(row, name), ensure_ascii=False) for row in rows], dtype=object)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    try:
        raw.write(
            str(path),
            geometry=np.array([row.wkb for row in rows], dtype=object),
            field_data=list(columns.values()),
            fields=list(columns),
            layer=layer,
            driver="GPKG",
            geometry_type=_geometry_type(layer, shapes),
            crs="EPSG:4326",
            append=path.exists(),
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _geometry_type(layer: str, shapes: list[Shape]) -> str:
    """Return what the layer declares: one type with heights, flat only if all are, any geometry where they differ."""
    areas = {shape.area for shape in shapes} or {layer == "ped_crossing"}
    heights = {shape.has_height for shape in shapes} or {True}
    if len(areas) > 1 or len(heights) > 1:
        return "Unknown"
    return ("Polygon" if areas.pop() else "LineString") + (" Z" if heights.pop() else "")
