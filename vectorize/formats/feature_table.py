"""A map as rows of a table, as geographic formats want it: one row a shape, its geometry as WKB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from recon.geo_origin import GeoOrigin
from vectorize.formats.simple_features import Shape, degrees
from vectorize.polyline import length_of
from vectorize.road_map import RoadMap, numbers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One shape of the map; the column names of every table format."""

    wkb: bytes  # ISO WKB, longitude and latitude in degrees, height above the ellipsoid where there is one
    element: int  # parts of one split crossing share it
    element_class: str
    style: str
    closed: bool
    score: float
    length_m: float
    seen_share: float
    seen: list[bool]  # one value a vertex, in order; the closing vertex of a ring is counted
    confidence: list[float]
    views: list[int]
    trips: list[str]  # names of the drives that saw some part of it
    vertex_trips: list[list[str]]


def row_of(shape: Shape, road_map: RoadMap, origin: GeoOrigin) -> Row:
    """Return a shape of a map as a row; a shape with a vertex of unknown height becomes a flat one."""
    points = degrees(shape, origin, height=shape.has_height)
    geometry = shapely.Polygon(points) if shape.area else shapely.LineString(points)
    written, trips = shape.written, road_map.trips
    return Row(
        wkb=shapely.to_wkb(geometry, flavor="iso"),
        element=shape.index,
        element_class=shape.element.element_class,
        style=shape.element.style,
        closed=shape.closed,
        score=round(shape.element.score, 4),
        length_m=round(length_of(shape.vertices, closed=shape.closed), 3),
        seen_share=round(float(shape.element.seen.mean()), 4),
        seen=written.seen.tolist(),
        confidence=np.round(written.confidence.astype(np.float64), 4).tolist(),
        views=written.views.tolist(),
        trips=[trips[number] for number in written.trip_numbers],
        vertex_trips=[[trips[number] for number in numbers_of(bits)] for bits in written.trips.tolist()],
    )


def flat_note(shapes: list[Shape]) -> list[str]:
    """Return a note when some shapes have no heights."""
    count = sum(not shape.has_height for shape in shapes)
    return [f"{count} of {len(shapes)} shapes are written without heights: they have none"] if count else []
