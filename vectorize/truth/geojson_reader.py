"""Reads the GeoJSON that `vectorize.formats.geojson` writes as a RoadMap."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np

from recon.arrays import F64
from recon.errors import InputInvalid
from recon.geo_origin import GeoOrigin
from vectorize.road_map import Element, ElementClass, RoadMap, Style
from vectorize.truth.json_object import read_json_object


def read_geojson(path: Path, origin: GeoOrigin | None) -> RoadMap:
    """Read a map that Roadscribe wrote; longitude and latitude become metres around `origin`.

    Raises InputInvalid naming the file and the faulty feature, and for coordinates in degrees without an origin.
    """
    hint = "Expected a FeatureCollection as Roadscribe writes it (docs/labels.md)."
    body = read_json_object(path, what="the map", hint=hint)
    if not isinstance(body.get("features"), list):
        raise InputInvalid("the file is not a FeatureCollection", where=str(path), hint=hint)
    local = str(body.get("coordinates", "")).startswith("local metres")
    if not local and origin is None:
        hint = "Give the drive folder, whose drive.json states the origin."
        raise InputInvalid("the map is in degrees, and the origin of the drive is unknown", where=str(path), hint=hint)
    frame = None if local else origin
    trips = tuple(str(name) for name in body.get("trips") or [])
    elements = [
        _element(feature, frame, len(trips), f"{path}: feature {i}") for i, feature in enumerate(body["features"])
    ]
    return RoadMap(elements=tuple(elements), origin=frame, trips=trips)


def _element(feature: Any, origin: GeoOrigin | None, trip_count: int, where: str) -> Element:
    try:
        properties, geometry = feature["properties"], feature["geometry"]
        element_class, style = properties["class"], properties.get("style", "unknown")
        if element_class not in get_args(ElementClass) or style not in get_args(Style):
            raise ValueError(f"class {element_class!r} or style {style!r} is unknown")
        points = geometry["coordinates"][0] if geometry["type"] == "Polygon" else geometry["coordinates"]
        vertices = _local(np.array(points, dtype=np.float64), origin)
        closed = geometry["type"] == "Polygon" or bool(properties.get("closed", False))
        count = len(vertices) - closed  # a ring in GeoJSON repeats its first vertex
        seen = np.array(properties.get("seen", [True] * len(vertices)), dtype=bool)
        confidence = np.array(properties.get("confidence", [1.0] * len(vertices)), dtype=np.float32)
        views = np.array(properties.get("views", [0] * len(vertices)), dtype=np.uint16)
        numbers = properties.get("vertex_trips", [[]] * len(vertices))
        if any(not 0 <= number < trip_count for one in numbers for number in one):
            raise ValueError(f"a vertex names a trip that the map does not have; it has {trip_count}")
        trips = np.array([sum(1 << number for number in set(one)) for one in numbers], dtype=np.uint64)
        return Element(
            element_class=element_class,
            vertices=vertices[:count],
            seen=seen[:count],
            confidence=confidence[:count],
            score=float(properties.get("score", 1.0)),
            style=style,
            closed=closed,
            views=views[:count],
            trips=trips[:count],
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputInvalid(f"the feature is faulty: {error}", where=where) from error


def _local(points: F64, origin: GeoOrigin | None) -> F64:
    if points.ndim != 2 or points.shape[1] not in (2, 3) or not np.isfinite(points).all():
        raise ValueError("its coordinates are not a list of finite points")
    if origin is None:
        return points
    metres = origin.to_metres(points[:, :2])
    result: F64 = np.c_[metres, points[:, 2:] - origin.altitude_m]
    return result
