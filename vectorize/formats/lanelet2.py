"""RoadMap as Lanelet2 OSM XML: line strings and areas, no lanelets.

A lanelet has a direction of traffic and successors. Neither is measured, so no lanelets are written; the line strings
can serve as their bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from vectorize.formats.exported_files import ExportedFiles, origin_of
from vectorize.formats.simple_features import SimpleFeature, degrees, simple_features
from vectorize.road_map import Element, RoadMap, Style

LOSES = (
    "lanelets, lanes and regulations: not measured, so the file holds only line strings and areas",
    "kerbs: a boundary is a `road_border`, with or without a kerb",
    "double lines: tagged `solid_solid`, because the style does not describe each of the two lines",
    "classes of crossings: zebra and plain crossings are both `crosswalk`",
)
DIVIDER_SUBTYPE: dict[Style, str] = {
    "solid": "solid",
    "dashed": "dashed",
    "double": "solid_solid",
    "solid_dashed": "solid_dashed",
    "dashed_solid": "dashed_solid",
}
AREA_TYPE = {"ped_crossing": "crosswalk", "hatched": "keepout"}
TYPE = {"divider": "line_thin", "boundary": "road_border", "stop_line": "stop_line", "centerline": "virtual"}


def write_lanelet2(name: str, road_map: RoadMap) -> ExportedFiles:
    """Return `<name>.osm`: nodes with latitude, longitude and `ele`, ways with `type` and `subtype`.

    Tags that start with `roadscribe:` hold score, style and trips of ways, and seen, confidence and views of nodes.
    Raises ConfigInvalid without an origin, ArtifactInvalid for a vertex that is not finite.
    """
    origin = origin_of(road_map, "Lanelet2")
    features, notes = simple_features(road_map)
    root = ElementTree.Element("osm", version="0.6", generator="roadscribe")
    ways = []
    next_id = 1
    for feature in features:
        points = degrees(feature, origin, height=feature.has_height)[: len(feature.vertices)]
        ids = list(range(next_id, next_id + len(points)))
        next_id += len(points)
        for i, (node_id, point) in enumerate(zip(ids, points.tolist(), strict=True)):
            tags = _node_tags(feature.element, i)
            if len(point) == 3:
                tags = {"ele": f"{point[2]:.3f}", **tags}
            place = {"lat": f"{point[1]:.9f}", "lon": f"{point[0]:.9f}"}
            _tagged(ElementTree.SubElement(root, "node", _identity(node_id) | place), tags)
        ways.append((feature, ids))
    for feature, ids in ways:
        way = ElementTree.SubElement(root, "way", _identity(next_id))
        next_id += 1
        # Lanelet2 closes areas itself; a closed line repeats its first node.
        for node_id in ids if feature.area or not feature.closed else [*ids, ids[0]]:
            ElementTree.SubElement(way, "nd", ref=str(node_id))
        _tagged(way, _tags(feature, road_map.trips))
    flat = sum(not feature.has_height for feature in features)
    if flat:
        notes.append(f"{flat} of {len(features)} features have no heights: their nodes have no `ele`, read as 0")
    ElementTree.indent(root, " ")
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return ExportedFiles(files={f"{name}.osm": data + b"\n"}, notes=tuple(notes))


def _node_tags(element: Element, i: int) -> dict[str, str]:
    return {
        "roadscribe:seen": _yes(element.seen[i]),
        "roadscribe:confidence": f"{element.confidence[i]:.4f}",
        "roadscribe:views": str(element.views[i]),
    }


def _tags(feature: SimpleFeature, trips: Sequence[str]) -> dict[str, str]:
    element = feature.element
    tags = (
        {"area": "yes", "type": AREA_TYPE[element.element_class]}
        if feature.area
        else {"type": TYPE.get(element.element_class, "virtual")}
    )
    if element.element_class == "divider" and element.style in DIVIDER_SUBTYPE:
        tags["subtype"] = DIVIDER_SUBTYPE[element.style]
    return {
        **tags,
        "roadscribe:class": element.element_class,
        "roadscribe:style": element.style,
        "roadscribe:score": f"{element.score:.4f}",
        "roadscribe:element": str(feature.index),
        "roadscribe:trips": ";".join(trips[number] for number in element.trip_numbers),
    }


def _identity(number: int) -> dict[str, str]:
    # Editors reject elements without version and visibility.
    return {"id": str(number), "visible": "true", "version": "1"}


def _tagged(parent: ElementTree.Element, tags: dict[str, str]) -> None:
    for key, value in tags.items():
        ElementTree.SubElement(parent, "tag", k=key, v=value)


def _yes(value: object) -> str:
    return "yes" if value else "no"
