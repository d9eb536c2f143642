"""RoadMap as GeoPackage: one layer per class, for QGIS and other desktop systems."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np

from vectorize.formats.exported_files import ExportedFiles, missing_package, origin_of
from vectorize.formats.feature_table import FeatureRow, feature_row, flat_note
from vectorize.formats.simple_features import SimpleFeature, simple_features
from vectorize.road_map import AREA_CLASSES, ElementClass, RoadMap

LOSES = (
    "lists: `seen`, `confidence`, `views` and `trips` of each vertex are JSON texts in a column",
    "closed lines: an island's boundary is a line string whose ends meet",
)
# GDAL would write the current time into the file; equal maps must give equal bytes.
FIXED_TIME = "1980-01-01T00:00:00Z"


def write_geopackage(name: str, road_map: RoadMap) -> ExportedFiles:
    """Return `<name>.gpkg` in EPSG:4326; a class without elements is an empty layer.

    Raises ConfigInvalid without an origin or without pyogrio, ArtifactInvalid for a vertex that is not finite.
    """
    origin = origin_of(road_map, "GeoPackage")
    features, notes = simple_features(road_map)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.gpkg"
        for element_class in get_args(ElementClass):
            chosen = [feature for feature in features if feature.element.element_class == element_class]
            _write_layer(path, element_class, chosen, [feature_row(feature, road_map, origin) for feature in chosen])
        return ExportedFiles(files={path.name: path.read_bytes()}, notes=(*notes, *flat_note(features)))


def _write_layer(path: Path, layer: str, features: list[SimpleFeature], rows: list[FeatureRow]) -> None:
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
            geometry_type=_geometry_type(layer, features),
            crs="EPSG:4326",
            append=path.exists(),
        )
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _geometry_type(layer: str, features: list[SimpleFeature]) -> str:
    """Return the geometry type of a layer; `Unknown` (any) where areas and lines, or heights and no heights, mix."""
    areas = {feature.area for feature in features} or {layer in AREA_CLASSES}
    heights = {feature.has_height for feature in features} or {True}
    if len(areas) > 1 or len(heights) > 1:
        return "Unknown"
    return ("Polygon" if areas.pop() else "LineString") + (" Z" if heights.pop() else "")
