"""The HD map of an Argoverse 2 log (`log_map_archive_*.json`) as a true RoadMap in the log's world.

Every painted lane boundary is a divider, edge lines too. A lane boundary marked NONE is not painted and is left out.
Drivable areas give boundaries, crossings give polygons. Argoverse 2 has no stop lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from recon.arrays import F64
from recon.formats.argoverse2.city_frame import city_code, place_world
from recon.formats.argoverse2.map_archive import LaneSegment, read_map_archive
from recon.formats.argoverse2.pose_table import read_poses
from recon.formats.drawn_lines import area_edges, joined_lines, with_height, without_duplicates
from recon.geometry import apply
from vectorize.road_map import MIRRORED, Element, RoadMap, Style
from vectorize.truth.truth_elements import true_element

_STYLES: dict[str, Style | None] = {
    "NONE": None,
    "UNKNOWN": "unknown",
    **dict.fromkeys(("SOLID_WHITE", "SOLID_YELLOW", "SOLID_BLUE"), "solid"),
    **dict.fromkeys(("DASHED_WHITE", "DASHED_YELLOW"), "dashed"),
    **dict.fromkeys(("DOUBLE_SOLID_WHITE", "DOUBLE_SOLID_YELLOW"), "double"),
    # Two dashed lines side by side may be crossed like one.
    **dict.fromkeys(("DOUBLE_DASH_WHITE", "DOUBLE_DASH_YELLOW"), "dashed"),
    # Of a right border: the first word names the line beside the lane.
    **dict.fromkeys(("SOLID_DASH_WHITE", "SOLID_DASH_YELLOW"), "solid_dashed"),
    **dict.fromkeys(("DASH_SOLID_WHITE", "DASH_SOLID_YELLOW"), "dashed_solid"),
}


def read_argoverse2_truth(root: Path, archive: str) -> RoadMap:
    """Read the true map of the log in `root`, in the world frame that `recon.formats` gives the drive.

    Raises InputInvalid naming the file and the faulty entry, or PoseInvalid where the log has no poses.
    """
    root = root.resolve()
    archived = read_map_archive(root, archive)
    poses = read_poses(root)
    world_from_city, origin = place_world(city_code(root), poses.city_from_ego[0, :3, 3])
    elements: list[Element] = []
    elements += _dividers(archived.lanes)
    elements += [
        true_element("ped_crossing", np.concatenate([first, second[::-1]]), closed=True)
        for first, second in archived.crossings
    ]
    elements += _boundaries(archived.areas)
    placed = tuple(
        true_element(e.element_class, apply(world_from_city, e.vertices), style=e.style, closed=e.closed)
        for e in elements
    )
    return RoadMap(elements=placed, origin=origin)


def _dividers(lanes: tuple[LaneSegment, ...]) -> list[Element]:
    by_style: dict[Style, list[F64]] = {}
    for lane in lanes:
        for mark, border, is_left in ((lane.left_mark, lane.left, True), (lane.right_mark, lane.right, False)):
            style = _STYLES[mark]
            if style is None:
                continue
            # Two lanes of opposite directions state one pair in both ways: all get their solid line on the left.
            turned = style in MIRRORED and (style == "dashed_solid") != is_left
            name: Style = "solid_dashed" if style in MIRRORED else style
            by_style.setdefault(name, []).append(border[::-1] if turned else border)
    return [
        true_element("divider", line, style=style)
        for style, lines in by_style.items()
        for line in _joined([line for _, line in without_duplicates(lines)], style)
    ]


def _joined(lines: list[F64], style: Style) -> list[F64]:
    """Return lines joined end to end; a pair of a solid and a dashed line keeps its direction."""
    if style not in MIRRORED:
        return joined_lines(lines)
    every = shapely.MultiLineString([shapely.LineString(line) for line in lines])
    merged = shapely.line_merge(every, directed=True)
    return [shapely.get_coordinates(part, include_z=True) for part in shapely.get_parts(merged)]


def _boundaries(areas: tuple[F64, ...]) -> list[Element]:
    if not areas:
        return []
    known = np.concatenate(areas)
    edges = area_edges([shapely.Polygon(ring[:, :2]) for ring in areas])
    return [true_element("boundary", with_height(xy, known), closed=closed) for xy, closed in edges]
