"""Reads an Argoverse 2 log as a plan of the city: what its map draws, under the path that it drove."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from recon.arrays import F64
from recon.demo_city.plan.city_plan import PaintStyle, Surfaces
from recon.demo_city.plan.mapped_streets import BAKED_M, WALK_M, MappedStreets
from recon.demo_city.plan.reference_line import ReferenceLine
from recon.demo_city.plan.repairs import manholes, repairs
from recon.demo_city.plan.strokes import Painted, StrokeKind, line_paint, style_of, zebra
from recon.errors import InputInvalid
from recon.formats.argoverse2.argoverse2 import detect
from recon.formats.argoverse2.city_frame import map_archive, read_ground_height
from recon.formats.argoverse2.map_archive import LaneSegment, MapArchive, read_map_archive
from recon.formats.argoverse2.pose_table import read_poses
from recon.formats.drawn_lines import joined_lines, without_duplicates

PATH_STEP_M = 0.25  # between the poses that the path is drawn through: standing still adds none
PATH_SMOOTH_M, KERB_SMOOTH_M, LANE_SMOOTH_M = 1.0, 0.3, 1.5
LANE_M = 90.0  # length to which a lane is continued by those that follow it
SLIVER_M = 0.15  # narrower gaps between drivable areas are drawing errors; raised land is wider
_NOT_A_LOG = "Name the folder of a log of Argoverse 2's sensor data set, with its map folder."


@dataclass(frozen=True, slots=True)
class _Mark:
    """The paint of a border: one stroke, or two as seen along its direction."""

    left: StrokeKind | None
    right: StrokeKind
    yellow: bool


def read_path(root: Path) -> ReferenceLine:
    """Return the path of a log, metres from its first pose along the axes of its city.

    Raises InputInvalid if the folder is no log or the vehicle never moved, or PoseInvalid.
    """
    if not detect(root):
        raise InputInvalid("the folder is not an Argoverse 2 log", where=str(root), hint=_NOT_A_LOG)
    xy = read_poses(root.resolve()).city_from_ego[:, :2, 3]
    kept = [xy[0]]
    for point in xy[1:]:
        if np.hypot(*(point - kept[-1])) >= PATH_STEP_M:
            kept.append(point)
    if np.any(kept[-1] != xy[-1]):
        kept.append(xy[-1])
    try:
        return ReferenceLine.through(np.array(kept) - xy[0], smooth_m=PATH_SMOOTH_M)
    except ValueError as error:
        hint = "Name a log whose vehicle moves."
        raise InputInvalid("the trajectory is too short: the vehicle stands", where=str(root), hint=hint) from error


def frames_along(root: Path, spacing_m: float) -> int:
    """Return how many frames fit on the path of a log. Errors as `read_path`."""
    return int(float(read_path(root).s[-1]) / spacing_m + 1e-9) + 1


def read_streets(
    root: Path, *, driven_m: float, dash_m: float, gap_m: float, rng: np.random.Generator
) -> MappedStreets:
    """Read the map, the ground height and the path of a log; the drive along it is `driven_m` long.

    Raises InputInvalid naming what is missing or faulty, or DriveInvalid for a broken raster.
    """
    line = read_path(root)
    if float(line.s[-1]) < driven_m - 1e-6:
        message = f"the trajectory is too short: {line.s[-1]:.1f} m for a drive of {driven_m:.1f} m"
        raise InputInvalid(message, where=str(root), hint="Ask for fewer frames or a smaller spacing.")
    root = root.resolve()
    archive = map_archive(root)
    if not archive:
        raise InputInvalid("the log has no map", where=f"{root}/map/log_map_archive_*.json", hint=_NOT_A_LOG)
    ground = read_ground_height(root)
    if ground is None:
        where = f"{root}/map/*_ground_height_surface____*.npy"
        raise InputInvalid("the log has no ground height", where=where, hint=_NOT_A_LOG)
    archived = read_map_archive(root, archive)
    if not archived.areas:
        raise InputInvalid("the map has no drivable area", where=archive, hint=_NOT_A_LOG)
    zero = read_poses(root).city_from_ego[0, :3, 3]
    height, known = ground.at(zero[None, :2])
    shift = -np.array([zero[0], zero[1], float(height[0]) if known[0] else zero[2]])
    area = _drivable(archived, shift[:2])
    crossings = [(first[:, :2] + shift[:2], second[:, :2] + shift[:2]) for first, second in archived.crossings]
    walked = [ring for first, second in crossings for ring in _on_road(first, second, area)]
    painted, dividers = _lines(archived.lanes, shift[:2], area, walked, dash_m, gap_m)
    painted += [stripe for first, second in crossings for stripe in zebra(first, second)]
    zone = shapely.buffer(shapely.LineString(line.xy), BAKED_M)
    ends = (0.0, float(line.s[-1]))
    return MappedStreets(
        line=line,
        area=area,
        kerbs=_kerbs(area, zone),
        lanes=_lanes(archived.lanes, shift[:2], zone),
        walks=tuple(ReferenceLine.through(0.5 * (_even(first) + _even(second))) for first, second in crossings),
        lane_area=_lane_area(archived.lanes, shift[:2]),
        painted=tuple(painted),
        dividers=tuple(dividers),
        crossings=tuple(walked),
        ground=ground,
        world_from_city_m=shift,
        surfaces=Surfaces(
            walks_m=(WALK_M, WALK_M),
            lanes=np.zeros((0, 3)),
            repairs=repairs(rng, -8.0, 8.0, ends),
            manholes=manholes(rng, -4.0, 4.0, ends),
        ),
    )


def _even(points: F64, count: int = 24) -> F64:
    """Return points (count, 2) spread evenly along a line (N, 2)."""
    at = shapely.line_interpolate_point(shapely.LineString(points), np.linspace(0.0, 1.0, count), normalized=True)
    even: F64 = shapely.get_coordinates(at)
    return even


def _drivable(archived: MapArchive, shift: F64) -> shapely.MultiPolygon:
    polygons = [shapely.Polygon(ring[:, :2] + shift) for ring in archived.areas]
    union = shapely.union_all([shapely.buffer(area, SLIVER_M, join_style="mitre") for area in polygons])
    parts = shapely.get_parts(shapely.buffer(union, -SLIVER_M, join_style="mitre"))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and not part.is_empty])


def _on_road(first: F64, second: F64, area: shapely.Geometry) -> list[shapely.Polygon]:
    """Return what of a crossing lies on the road, in one piece for each carriageway that it crosses."""
    ring = shapely.Polygon(np.concatenate([first, second[::-1]]))
    parts = shapely.get_parts(shapely.intersection(ring, area))
    return [shapely.Polygon(part.exterior) for part in parts if part.geom_type == "Polygon" and part.area > 3.0]


def _mark(lane: LaneSegment, side: str) -> _Mark | None:
    """Return the paint of a border of a lane; a double line is stated from the lane outwards."""
    mark = lane.left_mark if side == "left" else lane.right_mark
    kind, _, color = mark.rpartition("_")
    kinds: dict[str, tuple[StrokeKind | None, StrokeKind]] = {
        "SOLID": (None, "solid"),
        "DASHED": (None, "dashed"),
        "DOUBLE_SOLID": ("solid", "solid"),
        "DOUBLE_DASH": ("dashed", "dashed"),
        "SOLID_DASH": ("solid", "dashed"),
        "DASH_SOLID": ("dashed", "solid"),
    }
    if kind not in kinds:
        return None
    inner, outer = kinds[kind]
    # Beyond the left border the outer line lies to the left.
    left, right = (outer, inner) if inner is not None and side == "left" else (inner, outer)
    assert right is not None
    return _Mark(left, right, color == "YELLOW")


def _lines(
    lanes: tuple[LaneSegment, ...],
    shift: F64,
    area: shapely.Geometry,
    walked: list[shapely.Polygon],
    dash_m: float,
    gap_m: float,
) -> tuple[list[Painted], list[tuple[F64, PaintStyle]]]:
    """Return the paint of the lane borders and the dividers that it forms: on the road, between crossings."""
    marks: list[_Mark] = []
    borders: list[F64] = []
    for lane in lanes:
        for side, border in (("left", lane.left), ("right", lane.right)):
            mark = _mark(lane, side)
            if mark is not None:
                borders.append(border[:, :2] + shift)
                marks.append(mark)
    by_mark: dict[_Mark, list[F64]] = {}
    for index, border in without_duplicates(borders):
        by_mark.setdefault(marks[index], []).append(border)
    free = shapely.difference(area, shapely.union_all(walked))
    painted: list[Painted] = []
    dividers: list[tuple[F64, PaintStyle]] = []
    for mark, drawn in by_mark.items():
        # Joining may turn a line round, which would swap the two strokes of a mixed one.
        for points in drawn if mark.left not in (None, mark.right) else joined_lines(drawn):
            for part in shapely.get_parts(shapely.intersection(shapely.LineString(points), free)):
                if part.geom_type == "LineString" and part.length > 1.0:
                    painted += line_paint(part, mark.left, mark.right, dash_m=dash_m, gap_m=gap_m, yellow=mark.yellow)
                    dividers.append((shapely.get_coordinates(part), style_of(mark.left, mark.right)))
    return painted, dividers


def _kerbs(area: shapely.MultiPolygon, zone: shapely.Polygon) -> tuple[ReferenceLine, ...]:
    """Return the edges of drivable ground within a zone, the road to their left."""
    edges = []
    for polygon in shapely.get_parts(area):
        turned = shapely.orient_polygons(polygon)
        for ring in (turned.exterior, *turned.interiors):
            edges += shapely.get_parts(
                shapely.line_merge(shapely.intersection(shapely.LineString(ring), zone))
            ).tolist()
    lines = [shapely.get_coordinates(edge) for edge in edges if edge.geom_type == "LineString" and edge.length > 2.0]
    return tuple(ReferenceLine.through(xy, smooth_m=KERB_SMOOTH_M) for xy in lines)


def _middle(lane: LaneSegment, shift: F64) -> F64 | None:
    if len(lane.left) < 2 or len(lane.right) < 2 or lane.kind == "BIKE":
        return None
    return 0.5 * (_even(lane.left[:, :2]) + _even(lane.right[:, :2])) + shift


def _lanes(lanes: tuple[LaneSegment, ...], shift: F64, zone: shapely.Polygon) -> tuple[ReferenceLine, ...]:
    """Return the middles of the lanes in a zone, each continued by the first of those that follow it."""
    middles = {lane.key: middle for lane in lanes if (middle := _middle(lane, shift)) is not None}
    after = {lane.key: [key for key in lane.successors if key in middles] for lane in lanes}
    lines = []
    for key, middle in middles.items():
        if not zone.intersects(shapely.LineString(middle)):
            continue
        chain, at, seen = [middle], key, {key}
        while after[at] and after[at][0] not in seen and shapely.LineString(np.concatenate(chain)).length < LANE_M:
            at = after[at][0]
            seen.add(at)
            chain.append(middles[at])
        lines.append(ReferenceLine.through(np.concatenate(chain), smooth_m=LANE_SMOOTH_M))
    return tuple(lines)


def _lane_area(lanes: tuple[LaneSegment, ...], shift: F64) -> shapely.Geometry:
    rings = [np.concatenate([lane.left, lane.right[::-1]])[:, :2] + shift for lane in lanes]
    return shapely.union_all([shapely.buffer(shapely.Polygon(ring), 0.0) for ring in rings if len(ring) > 3])
