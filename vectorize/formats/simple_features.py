"""Elements of a map as simple features, which exchange formats accept: finite, areas valid and counter-clockwise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from recon.arrays import F64, I64
from recon.errors import ArtifactInvalid
from recon.geo_origin import GeoOrigin
from vectorize.polyline import arc_length
from vectorize.road_map import AREA_CLASSES, Element, RoadMap

SMALLEST_M2 = 1e-4  # a part of a self-crossing outline below this area is a rounding error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimpleFeature:
    """A line, a closed line or an area of one element."""

    index: int  # of the element in the map; parts of a split area share it
    element: Element  # vertices (N, 3), NaN height where unknown; closed ones run counter-clockwise
    area: bool

    @property
    def vertices(self) -> F64:
        """Return (N, 3) world metres; a closed line or ring does not repeat its first vertex."""
        return self.element.vertices

    @property
    def written(self) -> Element:
        """Return the element as files hold it: the first vertex repeated at the end where it is closed."""
        return self.element.take(self.order, closed=self.closed)

    @property
    def closed(self) -> bool:
        """Return whether the last vertex joins the first."""
        return self.element.closed

    @property
    def has_height(self) -> bool:
        """Return whether every vertex has a height."""
        return bool(np.isfinite(self.vertices[:, 2]).all())

    @property
    def order(self) -> I64:
        """Return vertex indices with the first repeated at the end where the feature is closed."""
        count = len(self.vertices)
        return np.r_[0:count, 0] if self.closed else np.arange(count)


def simple_features(road_map: RoadMap) -> tuple[list[SimpleFeature], list[str]]:
    """Return the map's features in order, and a note for every element that was split or left out.

    A crossing whose outline crosses itself becomes one simple area per loop, since no format allows areas that cross
    themselves. Raises ArtifactInvalid for a vertex whose x or y is not finite.
    """
    features: list[SimpleFeature] = []
    notes: list[str] = []
    for index, element in enumerate(road_map.elements):
        feature = _feature(index, element)
        if not feature.area:
            features.append(feature)
            continue
        parts = _simple_areas(feature)
        if len(parts) != 1:
            fate = f"is written as {len(parts)} areas" if parts else "is left out"
            reason = "its outline crosses itself" if parts else "its outline encloses no area"
            notes.append(f"element {index} ({element.element_class}) {fate}: {reason}")
        features += parts
    return features, notes


def require_heights(features: list[SimpleFeature], format_name: str) -> None:
    """Raise ArtifactInvalid for a feature without heights: heights that a format requires are not invented."""
    for feature in features:
        if not feature.has_height:
            where = f"element {feature.index} ({feature.element.element_class})"
            hint = "Export to a format that needs no heights, e.g. geoparquet or nuscenes."
            raise ArtifactInvalid(
                f"{format_name} needs a height for every vertex, and one has none", where=where, hint=hint
            )


def degrees(feature: SimpleFeature, origin: GeoOrigin, *, height: bool) -> F64:
    """Return (N, 2 or 3) longitude, latitude in degrees and, if wanted, metres above the ellipsoid; rings repeat."""
    vertices = feature.vertices[feature.order]
    lonlat = np.round(origin.to_degrees(vertices[:, :2]), 9)
    if not height:
        return lonlat
    result: F64 = np.c_[lonlat, np.round(vertices[:, 2] + origin.altitude_m, 3)]
    return result


def _feature(index: int, element: Element) -> SimpleFeature:
    vertices = element.vertices
    if not np.isfinite(vertices[:, :2]).all():
        where = f"element {index} ({element.element_class})"
        raise ArtifactInvalid("a vertex of the map is not finite", where=where, hint="Run the job again.")
    if vertices.shape[1] == 2:
        vertices = np.c_[vertices, np.full(len(vertices), np.nan)]
    element = replace(element, vertices=vertices)
    if element.closed and not shapely.LinearRing(vertices[:, :2]).is_ccw:
        element = element.take(np.s_[::-1], closed=True)
    return SimpleFeature(index=index, element=element, area=element.closed and element.element_class in AREA_CLASSES)


def _simple_areas(feature: SimpleFeature) -> list[SimpleFeature]:
    polygon = shapely.Polygon(feature.vertices[:, :2])
    if polygon.is_valid and polygon.area > SMALLEST_M2:
        return [feature]
    found = shapely.get_parts(shapely.make_valid(polygon)).tolist()
    flat = [part for one in found for part in shapely.get_parts(one).tolist()]
    areas = [part for part in flat if part.geom_type == "Polygon" and part.area > SMALLEST_M2]
    return [_read_along(feature, shapely.Polygon(part.exterior)) for part in areas]


def _read_along(feature: SimpleFeature, part: shapely.Polygon) -> SimpleFeature:
    """Return a loop of a self-crossing outline, with attributes interpolated along that outline."""
    ring: F64 = shapely.get_coordinates(shapely.orient_polygons(part).exterior)[:-1]
    outline = feature.vertices[feature.order]
    line = shapely.LineString(outline[:, :2])
    along = arc_length(outline)
    where = np.interp(shapely.line_locate_point(line, shapely.points(ring)), along, np.arange(len(along)))
    vertices = np.c_[ring, np.interp(where, np.arange(len(along)), outline[:, 2])]
    return SimpleFeature(index=feature.index, element=feature.element.at(where, vertices, closed=True), area=True)
