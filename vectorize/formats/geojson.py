"""RoadMap as GeoJSON (RFC 7946)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from recon.arrays import F64
from recon.artifact import write_atomic
from vectorize.polyline import length_of
from vectorize.road_map import AREA_CLASSES, Element, RoadMap, numbers_of

LOCAL_NOTE = "local metres (x, y, z) of the drive's own frame, not longitude and latitude: the drive has no origin"


def to_geojson(road_map: RoadMap, *, name: str = "") -> dict[str, Any]:
    """Return a FeatureCollection: longitude, latitude, ellipsoidal height where the origin is known.

    Without an origin the coordinates are local metres, and the member `coordinates` states this. The member `trips`
    names the drives; `vertex_trips` holds indices into it.
    """
    features = [_feature(i, element, road_map) for i, element in enumerate(road_map.elements)]
    body: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    body["trips"] = list(road_map.trips)
    if name:
        body["name"] = name
    if road_map.origin is None:
        body["coordinates"] = LOCAL_NOTE
    else:
        body["coordinates"] = "WGS84 longitude, latitude in degrees, ellipsoidal height in metres"
    return body


def write_geojson(road_map: RoadMap, path: Path, *, name: str = "") -> None:
    """Write the map as GeoJSON, one feature per line, atomically; equal maps give equal bytes."""
    body = to_geojson(road_map, name=name)
    features = body.pop("features")
    head = json.dumps(body, ensure_ascii=False, allow_nan=False)[:-1]
    lines = ",\n".join(json.dumps(f, ensure_ascii=False, allow_nan=False) for f in features)
    write_atomic(path, f'{head}, "features": [\n{lines}\n]}}\n'.encode())


def _feature(index: int, element: Element, road_map: RoadMap) -> dict[str, Any]:
    length_m, seen_share = length_of(element.vertices, closed=element.closed), float(element.seen.mean())
    if element.closed:
        count = len(element.vertices)
        # Exterior rings run counter-clockwise (RFC 7946, 3.1.6) and repeat their first vertex.
        forward = shapely.LinearRing(element.vertices[:, :2]).is_ccw
        order = np.r_[0:count, 0] if forward else np.r_[count - 1 : -1 : -1, count - 1]
        element = element.take(order, closed=True)
    points = _coordinates(element.vertices, road_map).tolist()
    area = element.closed and element.element_class in AREA_CLASSES
    geometry = {"type": "Polygon", "coordinates": [points]} if area else {"type": "LineString", "coordinates": points}
    return {
        "type": "Feature",
        "id": index,
        "geometry": geometry,
        "properties": {
            "class": element.element_class,
            "style": element.style,
            "closed": element.closed,
            "score": round(element.score, 4),
            "length_m": round(length_m, 3),
            "seen_share": round(seen_share, 4),
            "trips": [road_map.trips[number] for number in element.trip_numbers],
            "seen": element.seen.tolist(),
            "confidence": np.round(element.confidence.astype(np.float64), 4).tolist(),
            "views": element.views.tolist(),
            "vertex_trips": [numbers_of(bits) for bits in element.trips.tolist()],
        },
    }


def _coordinates(vertices: F64, road_map: RoadMap) -> F64:
    height = vertices[:, 2:] if vertices.shape[1] == 3 and np.isfinite(vertices[:, 2]).all() else vertices[:, :0]
    if road_map.origin is None:
        local = np.concatenate([vertices[:, :2], height], axis=1)
        return np.round(local, 4, out=local) + 0.0
    degrees = road_map.origin.to_degrees(vertices[:, :2])
    result: F64 = np.c_[np.round(degrees, 9), np.round(height + road_map.origin.altitude_m, 3)]
    return result
