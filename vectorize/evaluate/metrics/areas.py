"""Elements that are areas (pedestrian crossings), and their polygons."""

from __future__ import annotations

import shapely

from vectorize.evaluate.config import AREAS
from vectorize.road_map import Element


def polygon_of(element: Element) -> shapely.Geometry:
    """Return the area inside a closed element; an outline that crosses itself becomes its valid parts."""
    polygon = shapely.Polygon(element.vertices[:, :2])
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def is_area(element: Element) -> bool:
    """Return whether an element is an area instead of a line."""
    return element.closed and element.element_class in AREAS


def crosses_itself(element: Element) -> bool:
    """Return whether an element is an area whose outline crosses itself."""
    return is_area(element) and not bool(shapely.is_valid(shapely.Polygon(element.vertices[:, :2])))
