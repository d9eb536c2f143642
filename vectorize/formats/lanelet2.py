"""RoadMap as Lanelet2 OSM XML: line strings and areas, no lanelets.

A lanelet states which way traffic flows and which lanelet follows. Images of a road without traffic rules say neither,
so none is made up: whoever builds lanelets finds their bounds here.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from vectorize.formats.exported_files import Written, origin_of
from vectorize.formats.simple_features import Shape, degrees, shapes_of
from vectorize.road_map import Element, RoadMap

LOSES = (
    "lanelets, lanes and regulations: not measured, so the file holds only line strings and areas",
    "kerbs: a boundary is a `road_border`, with or without a kerb",
    "double lines: tagged `solid_solid`, because the style does not describe each of the two lines",
    "classes of crossings: zebra and plain crossings are both `crosswalk`",
)
DIVIDER_SUBTYPE = {"solid": "solid", "dashed": "dashed", "double": "solid_solid"}
TYPE = {"divider": "line_thin", "boundary": "road_border", "stop_line": "stop_line", "centerline": "virtual"}


def write_lanelet2(name: str, road_map: RoadMap) -> Written:
    """Return `<name>.osm`: nodes with latitude, longitude and `ele`, ways with `type` and `subtype`.

    Our own facts travel as tags that start with `roadscribe:`, of ways (score, style, trips) and of nodes (seen,
    confidence, views).
    Raises ConfigInvalid without an origin, ArtifactInvalid for a vertex that is not finite.
    """
    origin = origin_of(road_map, "Lanelet2")
    shapes, notes = shapes_of(road_map)
    root = ElementTree.Element("osm", version="0.6", generator="roadscribe")
    ways = []
    next_id = 1
    for shape in shapes:
        points = degrees(shape, origin, height=shape.has_height)[: len(shape.vertices)]
        ids = list(range(next_id, next_id + len(points)))
        next_id += len(points)
        for i, (node_id, point) in enumerate(zip(ids, points.tolist(), strict=True)):
            tags = _node_tags(shape.element, i)
            if len(point) == 3:
                tags = {"ele": f"{point[2]:.3f}", **tags}
            place = {"lat": f"{point[1]:.9f}", "lon": f"{point[0]:.9f}"}
            _tagged(ElementTree.SubElement(root, "node", _identity(node_id) | place), tags)
        ways.append((shape, ids))
    for shape, ids in ways:
        way = ElementTree.SubElement(root, "way", _identity(next_id))
        next_id += 1
        # Lanelet2 closes areas by itself; a closed line names its first node again.
        for node_id in ids if shape.area or not shape.closed else [*ids, ids[0]]:
            ElementTree.SubElement(way, "nd", ref=str(node_id))
        _tagged(way, _tags(shape, road_map.trips))
    flat = sum(not shape.has_height for shape in shapes)
    if flat:
        notes.append(f"{flat} of {len(shapes)} shapes have no heights: their nodes have no `ele`, read as 0")
    ElementTree.indent(root, " ")
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return Written(files={f"{name}.osm": data + b"\n"}, notes=tuple(notes))


def _node_tags(element: Element, i: int) -> dict[str, str]:
    return {
        "roadscribe:seen": _yes(element.seen[i]),
        "roadscribe:confidence": f"{element.confidence[i]:.4f}",
        "roadscribe:views": str(element.views[i]),
    }


def _tags(shape: Shape, trips: Sequence[str]) -> dict[str, str]:
    element = shape.element
    tags = {"area": "yes", "type": "crosswalk"} if shape.area else {"type": TYPE.get(element.element_class, "virtual")}
    if element.element_class == "divider" and element.style in DIVIDER_SUBTYPE:
        tags["subtype"] = DIVIDER_SUBTYPE[element.style]
    return {
        **tags,
        "roadscribe:class": element.element_class,
        "roadscribe:style": element.style,
        "roadscribe:score": f"{element.score:.4f}",
        "roadscribe:element": str(shape.index),
        "roadscribe:trips": ";".join(trips[number] for number in element.trip_numbers),
    }


def _identity(number: int) -> dict[str, str]:
    # Editors refuse elements without version and visibility.
    return {"id": str(number), "visible": "true", "version": "1"}


def _tagged(parent: ElementTree.Element, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        ElementTree.SubElement(parent, "tag", k=key, v=value)


def _yes(value: object) -> str:
    return "yes" if value else "no"
