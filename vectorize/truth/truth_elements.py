"""Elements of a true map: fully seen, of full confidence."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from vectorize.road_map import Element, ElementClass, Style


def true_element(
    element_class: ElementClass, vertices: F64, *, style: Style = "unknown", closed: bool = False
) -> Element:
    """Return an element of a true map; a closed ring may repeat its first vertex. ValueError for a faulty polyline."""
    if closed and len(vertices) > 1 and np.array_equal(vertices[0], vertices[-1]):
        vertices = vertices[:-1]
    return fully_seen(element_class, vertices, style=style, closed=closed)


def fully_seen(element_class: ElementClass, vertices: F64, *, style: Style, closed: bool) -> Element:
    """Return an element with vertices as they are, seen everywhere, of full confidence. ValueError as `Element`."""
    count = len(vertices)
    return Element(
        element_class=element_class,
        vertices=vertices,
        seen=np.ones(count, dtype=bool),
        confidence=np.ones(count, dtype=np.float32),
        score=1.0,
        style=style,
        closed=closed,
    )
