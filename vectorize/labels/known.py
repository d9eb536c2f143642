"""The `known` masks: where a label set is complete.

A cell is known if enough images saw it and its class is not UNKNOWN. Evidence that `trace` published nothing for is
withheld too, within WITHHELD_M: the edge of the drivable area without a boundary (vehicles may hide behind BACKGROUND
there), and paint, stop lines and crossings without an element. Otherwise a model would learn "no line"
where confidence was merely too low to publish one.

Beside a published line a pocket that no image saw, behind a pole or under a parked vehicle, is known as far as the
line explains it: the line was seen before and behind the pocket, so the map is complete there.
"""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import F32, F64, U8, Bool
from recon.bev.bev_map import BevBlocks, BevMap
from recon.geometry import apply
from recon.grid import Grid
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.road_map import AREA_CLASSES, ElementClass, RoadMap
from vectorize.windows import is_one_window

PUBLISHED_M = 0.6  # a cell this close to an element is explained by it
PAINT = 0.3  # probability from which a cell counts as evidence of paint
PAINTED_CLASSES: tuple[ElementClass, ...] = ("divider", "stop_line", *AREA_CLASSES)
WITHHELD_M = 0.8
POCKET_M = 3.0  # of a published line that no image saw, at most: edges of the road are bridged no farther
SEEN_M = 0.5  # of a line between two pockets: less is a speck within one
HIDING = 0.5  # share of BACKGROUND from which a cell hides the ground
HIDDEN_M = 8.0  # from the edge of the road to where BACKGROUND may hide more of it
KERB_M = 0.6  # between a published boundary and the BACKGROUND behind it: a sidewalk is wider
LEAST_MOUTH_M = 2.0  # of an open edge through which a road may run on: no lane is narrower
LEAST_ROAD_M2 = 20.0  # smaller pieces of road amid other ground are specks, as for boundaries
EDGE_M = 2.0  # at the edge of a window evidence and what is withheld for it may lie beyond
SPARE_M = 40.0  # driven before a new window is made
SHIFT = 4  # binary digits after the point in OpenCV's fixed-point coordinates
OTHER_LEVEL_M = 3.0  # of a place above or below the vehicle's ground plane: it belongs to a bridge, or lies below one
ROUNDS = 2  # of reading the height under a point: the slope of a road leaves millimetres after two


def known_cells(bev: BevMap, road_map: RoadMap, *, min_views: int = 1) -> Bool:
    """Return (H, W) cells of the site in which the map is complete."""
    evidence = Evidence.of(bev, min_views=min_views)
    known, cell = evidence.known, bev.grid.cell_m
    road = known & (evidence.drivable > 0.5)
    other = known & ~road
    near = np.ones((3, 3), np.uint8)
    edge = road & cv2.dilate(other.astype(np.uint8), near).astype(bool)
    painted = known & (np.maximum(np.maximum(evidence.marking, evidence.stop_line), evidence.crosswalk) > PAINT)
    open_edge = edge & ~_drawn(bev, road_map, ("boundary",))
    unexplained = open_edge | (painted & ~_drawn(bev, road_map, PAINTED_CLASSES))
    size = 2 * round(WITHHELD_M / cell) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    withheld = cv2.dilate(unexplained.astype(np.uint8), disc).astype(bool)
    complete = known | _pockets(evidence, road_map)
    result: Bool = complete & ~withheld & ~_behind(evidence, road, edge, open_edge)
    return result


def _pockets(evidence: Evidence, road_map: RoadMap) -> Bool:
    """Return (H, W) unseen cells that a published line explains which was seen before and behind them."""
    grid = evidence.grid
    beside = round(PUBLISHED_M / grid.cell_m)
    drawn = np.zeros(grid.shape, np.uint8)
    for element in road_map.elements:
        if element.element_class in AREA_CLASSES:
            continue
        xy = element.vertices[:, :2]
        line = polyline.resample(np.concatenate([xy, xy[:1]]) if element.closed else xy, grid.cell_m)
        if element.closed:  # a ring has no end: it starts where it was seen
            line = np.roll(line[:-1], -int(evidence.is_known(line[:-1]).argmax()), axis=0)
            line = np.concatenate([line, line[:1]])
        unseen = polyline.close_gaps(~evidence.is_known(line), round(SEEN_M / grid.cell_m))
        for start, stop in polyline.runs(unseen):
            if start > 0 and stop < len(line) and (stop - start) * grid.cell_m <= POCKET_M:
                _draw(drawn, grid, line[max(0, start - beside) : stop + beside])
    result: Bool = drawn.astype(bool) & ~evidence.known
    return result


def _behind(evidence: Evidence, road: Bool, edge: Bool, open_edge: Bool) -> Bool:
    """Return (H, W) cells of BACKGROUND into which the road may run on: it hides the ground under it.

    They are joined through BACKGROUND to a mouth of the road, an open edge at least a lane wide, and lie within
    HIDDEN_M of it. Where a published boundary is nearer, the road ends there.
    """
    cell = evidence.grid.cell_m
    hiding = evidence.known & (evidence.background > HIDING)
    mouth = _wide(open_edge, road, cell)
    facing = edge & ~open_edge & (_distance(hiding) <= max(2.0, KERB_M / cell))
    away = _distance(mouth)
    reach = max(1.0, HIDDEN_M / cell)
    zone = (hiding & (away <= reach) & (away < _distance(_wide(facing, road, cell)))) | mouth
    _, labels = cv2.connectedComponents(zone.astype(np.uint8), connectivity=8)
    touched = np.zeros(int(labels.max()) + 1, dtype=bool)
    touched[labels[mouth]] = True
    touched[0] = False
    result: Bool = hiding & zone & touched[labels]
    return result


def _wide(edge: Bool, road: Bool, cell_m: float) -> Bool:
    """Return (H, W) cells of the pieces of an edge that are at least a lane wide, without the edges of specks."""
    _, areas, road_stats, _ = cv2.connectedComponentsWithStats(road.astype(np.uint8), connectivity=8)
    _, pieces, edge_stats, _ = cv2.connectedComponentsWithStats(edge.astype(np.uint8), connectivity=8)
    large = road_stats[:, cv2.CC_STAT_AREA] * cell_m**2 >= LEAST_ROAD_M2
    wide = np.hypot(*edge_stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].T) * cell_m >= LEAST_MOUTH_M
    result: Bool = edge & large[areas] & wide[pieces]
    return result


def _distance(cells: Bool) -> F32:
    """Return (H, W) the distance to the nearest of these cells, in cells."""
    if not cells.any():
        return np.full(cells.shape, np.inf, np.float32)
    result: F32 = cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, 5).astype(np.float32)
    return result


class KnownWindow:
    """Dense windows of the raster and its known cells, each made once for the keyframes near one place."""

    def __init__(self, bev: BevMap | BevBlocks, road_map: RoadMap, *, min_views: int) -> None:
        self._blocks = bev if isinstance(bev, BevBlocks) and not is_one_window(bev) else None
        self._road_map, self._min_views = road_map, min_views
        self._made_for = np.full(2, np.inf)
        if self._blocks is None:
            self._set(bev.whole() if isinstance(bev, BevBlocks) else bev)

    def at(self, xy_m: F64, reach_m: float) -> tuple[BevMap, Bool]:
        """Return raster and known cells (H, W) of a window that holds everything within reach of a world point (2,)."""
        if self._blocks is not None and np.abs(xy_m - self._made_for).max() > SPARE_M:
            grid, self._made_for = self._blocks.grid, xy_m
            column, row = grid.to_px(xy_m).astype(int).tolist()
            half = int(np.ceil((reach_m + SPARE_M + EDGE_M) / grid.cell_m))
            self._set(self._blocks.window((row - half, column - half), (row + half, column + half)))
        return self._bev, self._known

    def _set(self, bev: BevMap) -> None:
        self._bev = bev
        self._known = known_cells(bev, self._road_map, min_views=self._min_views)


def _drawn(bev: BevMap, road_map: RoadMap, classes: tuple[ElementClass, ...]) -> Bool:
    """Return (H, W) cells that elements of these classes explain."""
    drawn = np.zeros(bev.grid.shape, np.uint8)
    for element_class in classes:
        for element in road_map.of(element_class):
            area = element_class in AREA_CLASSES
            _draw(drawn, bev.grid, element.vertices[:, :2], closed=element.closed, filled=area)
    return drawn.astype(bool)


def _draw(drawn: U8, grid: Grid, xy_m: F64, *, closed: bool = False, filled: bool = False) -> None:
    """Set the cells (H, W) within PUBLISHED_M of a line (N, 2), and those inside it if it is filled."""
    px = np.round((grid.to_px(xy_m) - 0.5) * 2**SHIFT).astype(np.int32)
    if filled:
        cv2.fillPoly(drawn, [px], 1, cv2.LINE_8, SHIFT)
    thickness = max(1, round(2 * PUBLISHED_M / grid.cell_m))
    cv2.polylines(drawn, [px], closed, 1, thickness, cv2.LINE_8, SHIFT)


def mask_of(
    bev: BevMap,
    known: Bool,
    world_from_ego: F64,
    ground_z_ego_m: float,
    shape: tuple[int, int],
    size_m: tuple[float, float],
) -> Bool:
    """Return the (h, w) mask of a patch: row 0 farthest forward, column 0 farthest left."""
    (rows, columns), (length, width) = shape, size_m
    x = length / 2 - (np.arange(rows) + 0.5) * length / rows
    y = width / 2 - (np.arange(columns) + 0.5) * width / columns
    ego = np.stack([*np.meshgrid(x, y, indexing="ij"), np.full(shape, ground_z_ego_m)], axis=-1).reshape(-1, 3)
    up = world_from_ego[:3, 2]
    plane = world = apply(world_from_ego, ego)
    for _ in range(ROUNDS):  # slide along the ego's z axis until the point lies on the surface
        cells, inside = bev.grid.cells(world[:, :2])
        r, c = (np.clip(cells[:, k], 0, bev.grid.shape[k] - 1) for k in (0, 1))
        lift = (bev.height_m[r, c] - world[:, 2]) / up[2]
        world = world + np.where(inside & bev.seen[r, c], lift, 0.0)[:, None] * up
    cells, inside = bev.grid.cells(world[:, :2])
    r, c = (np.clip(cells[:, k], 0, bev.grid.shape[k] - 1) for k in (0, 1))
    same_level = np.abs((world - plane) @ up) < OTHER_LEVEL_M
    result: Bool = (known[r, c] & inside & same_level).reshape(shape)
    return result
