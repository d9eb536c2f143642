"""RoadMap as GeoParquet 1.1: one table, for geopandas, DuckDB and Spark."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from vectorize.formats.exported_files import ExportedFiles, origin_of
from vectorize.formats.feature_table import FeatureRow, feature_row, flat_note
from vectorize.formats.simple_features import simple_features
from vectorize.road_map import RoadMap

LOSES = ("closed lines: an island's boundary is a line string whose ends meet",)
SCHEMA = pa.schema(
    [
        ("geometry", pa.binary()),
        ("element", pa.int32()),
        ("class", pa.string()),
        ("style", pa.string()),
        ("closed", pa.bool_()),
        ("score", pa.float64()),
        ("length_m", pa.float64()),
        ("seen_share", pa.float64()),
        ("seen", pa.list_(pa.bool_())),
        ("confidence", pa.list_(pa.float32())),
        ("views", pa.list_(pa.uint16())),
        ("trips", pa.list_(pa.string())),
        ("vertex_trips", pa.list_(pa.list_(pa.string()))),
    ]
)


def write_geoparquet(name: str, road_map: RoadMap) -> ExportedFiles:
    """Return `<name>.parquet` in longitude and latitude (OGC:CRS84, the default without a `crs`).

    Raises ConfigInvalid without an origin, ArtifactInvalid for a vertex that is not finite.
    """
    origin = origin_of(road_map, "GeoParquet")
    features, notes = simple_features(road_map)
    rows = [feature_row(feature, road_map, origin) for feature in features]
    columns = {"geometry": [row.wkb for row in rows], "class": [row.element_class for row in rows]}
    others = [field for field in SCHEMA.names if field not in columns]
    columns |= {field: [getattr(row, field) for row in rows] for field in others}
    schema = SCHEMA.with_metadata({"geo": json.dumps(_geo(rows), sort_keys=True)})
    stream = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), stream, compression="zstd")
    return ExportedFiles(files={f"{name}.parquet": stream.getvalue()}, notes=(*notes, *flat_note(features)))


def _geo(rows: list[FeatureRow]) -> dict[str, object]:
    """Return the file's `geo` metadata (GeoParquet 1.1.0)."""
    geometries = shapely.from_wkb([row.wkb for row in rows])
    kinds = {f"{g.geom_type} Z" if g.has_z else g.geom_type for g in geometries}
    column: dict[str, object] = {"encoding": "WKB", "geometry_types": sorted(kinds), "orientation": "counterclockwise"}
    if rows:
        column["bbox"] = shapely.total_bounds(geometries).tolist()
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
