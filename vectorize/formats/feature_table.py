"""A map as rows of a table for geographic formats: one row per feature, its geometry as WKB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from recon.geo_origin import GeoOrigin
from vectorize.formats.simple_features import SimpleFeature, degrees
from vectorize.polyline import length_of
from vectorize.road_map import RoadMap, numbers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """One feature of the map; the column names of every table format."""

    wkb: bytes  # ISO WKB, longitude and latitude in degrees, height above the ellipsoid where there is one
    element: int  # the parts of a split crossing have the same number
    element_class: str
    style: str
    closed: bool
    score: float
    length_m: float
    seen_share: float
    seen: list[bool]  # one value per vertex, in order, with the closing vertex of a ring
    confidence: list[float]
    views: list[int]
    trips: list[str]  # names of the drives that saw any part of it
    vertex_trips: list[list[str]]


def feature_row(feature: SimpleFeature, road_map: RoadMap, origin: GeoOrigin) -> FeatureRow:
    """Return a feature of a map as a row; a feature with a vertex of unknown height is written without heights."""
    points = degrees(feature, origin, height=feature.has_height)
    geometry = shapely.Polygon(points) if feature.area else shapely.LineString(points)
    written, trips = feature.written, road_map.trips
    return FeatureRow(
        wkb=shapely.to_wkb(geometry, flavor="iso"),
        element=feature.index,
        element_class=feature.element.element_class,
        style=feature.element.style,
        closed=feature.closed,
        score=round(feature.element.score, 4),
        length_m=round(length_of(feature.vertices, closed=feature.closed), 3),
        seen_share=round(float(feature.element.seen.mean()), 4),
        seen=written.seen.tolist(),
        confidence=np.round(written.confidence.astype(np.float64), 4).tolist(),
        views=written.views.tolist(),
        trips=[trips[number] for number in written.trip_numbers],
        vertex_trips=[[trips[number] for number in numbers_of(bits)] for bits in written.trips.tolist()],
    )


def flat_note(features: list[SimpleFeature]) -> list[str]:
    """Return a note when some features have no heights."""
    count = sum(not feature.has_height for feature in features)
    return [f"{count} of {len(features)} features are written without heights: they have none"] if count else []
