"""The streets of a surveyed place: an Argoverse 2 map under the path of its log, as a plan of the city.

The world's zero is the ground under the first pose; its axes are those of the map's city.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import shapely
from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum_filter
from skimage.draw import polygon as polygon_pixels

from recon.arrays import F32, F64, U8, Bool
from recon.demo_city.plan.city_plan import Bay, PaintStyle, Surfaces, TruePaint, Verge
from recon.demo_city.plan.marking import MAIN
from recon.demo_city.plan.marking_kernels import YELLOW
from recon.demo_city.plan.plan_kernels import ARM_COLUMNS, Plan
from recon.demo_city.plan.reference_line import ReferenceLine
from recon.demo_city.plan.strokes import Painted
from recon.formats.argoverse2.city_frame import GroundHeight

REACH_M = 60.0  # of the true map around the path; the cameras do not resolve more
BAKED_M = 72.0  # of painted ground around the path
KERB_CELL_M = 0.1
KERB_BAND_M = 0.5  # within which distances to the kerb are exact
WALK_M = 2.5  # width of the sidewalks
ROADSIDE_M = 2.0  # beyond the kerb, where surveyed heights are still those of the street
ROUGHNESS_M = 1.5  # sigma that removes the steps of half-precision heights, 6 cm at 100 m
STEEPEST = 0.17  # slope of the land; the rays allow 0.2
GRADING_M = (2.0, 4.0, 8.0, 16.0, 32.0)
LANE_HALF_M = 0.95  # half the width of a parked vehicle
FREE_M = 7.0  # between a parked vehicle and a crossing


@dataclass(frozen=True, eq=False)
class MappedStreets:
    """A plan whose roads are polygons of a map. Its lines are numbered: kerbs, then lanes, then walks."""

    line: ReferenceLine  # the path of the log
    area: shapely.MultiPolygon  # drivable ground
    kerbs: tuple[ReferenceLine, ...]  # the drivable ground lies to their left
    lanes: tuple[ReferenceLine, ...]  # lanes in the direction of traffic, each with those that follow it
    walks: tuple[ReferenceLine, ...]  # the middles of the crossings
    lane_area: shapely.Geometry
    painted: tuple[Painted, ...]  # where two overlap, the later one is seen
    dividers: tuple[tuple[F64, PaintStyle], ...]
    crossings: tuple[shapely.Polygon, ...]
    ground: GroundHeight
    world_from_city_m: F64  # (3,) shift
    surfaces: Surfaces

    @property
    def arms(self) -> F64:
        """No side street is straight."""
        return np.zeros((0, ARM_COLUMNS))

    @cached_property
    def _lines(self) -> tuple[ReferenceLine, ...]:
        return (*self.kerbs, *self.lanes, *self.walks)

    def _numbered(self, number: int) -> ReferenceLine:
        return self.line if number == MAIN else self._lines[number]

    def at(self, number: int, s: npt.ArrayLike, t: npt.ArrayLike) -> F64:
        """Return world xy (..., 2) of road coordinates of the path, a kerb or a lane."""
        return self._numbered(number).at(s, t)

    def heading(self, number: int, s: float) -> float:
        """Return the direction in radians of growing s."""
        return float(self._numbered(number).heading_at(s))

    def span(self, number: int) -> tuple[float, float]:
        """Return the range of s of a line."""
        return 0.0, float(self._numbered(number).s[-1])

    def ego_lanes(self, *, forward: bool) -> tuple[float, ...]:
        """Return the path itself: odd trips drive it back."""
        del forward
        return (0.0,)

    def land(self, x: F64, y: F64, s: F64, t: F64, rng: np.random.Generator) -> F64:
        """Return the surveyed heights (rows, columns) of the roads, continued smoothly beyond them."""
        del s, t, rng
        cell = float(x[0, 1] - x[0, 0])
        xy = np.stack([x, y], axis=-1).reshape(-1, 2)
        height, known = self.ground.at(xy - self.world_from_city_m[:2])
        known &= shapely.contains_xy(shapely.buffer(self.area, ROADSIDE_M), xy)
        weight = known.reshape(x.shape).astype(np.float64)
        value = np.where(known, height + self.world_from_city_m[2], 0.0).reshape(x.shape)
        result, filled = np.zeros(x.shape), np.zeros(x.shape)
        for sigma in (1.0, 4.0, 16.0, 64.0):
            share = gaussian_filter(weight, sigma * ROUGHNESS_M / cell, mode="nearest")
            mean = gaussian_filter(value, sigma * ROUGHNESS_M / cell, mode="nearest") / np.maximum(share, 1e-9)
            # Where little is known nearby, the next and wider mean is trusted instead.
            trust = np.clip(share / 0.1, 0.0, 1.0) * (1.0 - filled)
            result += trust * mean
            filled += trust
        return graded(result / np.maximum(filled, 1e-9), cell)

    def kernels(self, st: F64, raster: tuple[float, float, float]) -> Plan:
        """Return the plan as the kernels read it: signed distances to the kerb on a raster of their own."""
        west, south, cell = raster
        rows, columns = (np.array(st.shape[:2]) * round(cell / KERB_CELL_M)).tolist()
        return Plan(
            st=st,
            raster=raster,
            left_m=0.0,
            right_m=0.0,
            arms=self.arms,
            islands=np.zeros((0, 5)),
            kerb=kerb_distances(self.area, west, south, rows, columns),
            kerb_raster=(west, south, KERB_CELL_M),
        )

    def bakes(self, xy: F64, margin_m: float) -> Bool:
        """Return (...) whether points (..., 2) lie near the path."""
        return self._within(xy, BAKED_M + margin_m)

    def _within(self, xy: F64, reach_m: float) -> Bool:
        zone = shapely.buffer(self._path, reach_m)
        shapely.prepare(zone)
        inside: Bool = shapely.contains_xy(zone, xy[..., 0], xy[..., 1])
        return inside

    @cached_property
    def _path(self) -> shapely.LineString:
        return shapely.LineString(self.line.xy)

    @cached_property
    def _paint_tree(self) -> shapely.STRtree:
        return shapely.STRtree([paint.area for paint in self.painted])

    def stencil(self, plan: Plan, corners: F64, texel_m: float, side: int) -> U8:
        """Return the paint (n, side, side) of tiles with lower left corners (n, 2)."""
        del plan
        stencil = np.zeros((len(corners), side, side), dtype=np.uint8)
        tiles = shapely.box(*corners.T, *(corners + side * texel_m).T)
        which, found = self._paint_tree.query(tiles, predicate="intersects")
        order = np.lexsort((found, which))
        for k, i in zip(which[order].tolist(), found[order].tolist(), strict=True):
            paint = self.painted[i]
            for part in shapely.get_parts(shapely.intersection(paint.area, tiles[k])):
                if part.geom_type == "Polygon":
                    # Texel (r, c) is painted if its middle lies inside.
                    px = (shapely.get_coordinates(part.exterior) - corners[k]) / texel_m - 0.5
                    rows, columns = polygon_pixels(px[:, 1], px[:, 0], (side, side))  # type: ignore[no-untyped-call]
                    stencil[k, rows, columns] = int(paint.road_class) | (YELLOW if paint.yellow else 0)
        return stencil

    def verges(self) -> list[Verge]:
        """Return the kerbs; what stands there stands to their right."""
        return [Verge(i, -1.0, 0.0, WALK_M, 0.0, float(kerb.s[-1])) for i, kerb in enumerate(self.kerbs)]

    def ends(self) -> list[tuple[int, float]]:
        """No house closes a street whose end is not known."""
        return []

    def bays(self) -> list[Bay]:
        """Return the strips along kerbs where no lane, crossing or path lies."""
        busy = [shapely.buffer(self.lane_area, LANE_HALF_M), shapely.buffer(self._path, 3.0)]
        busy += [shapely.buffer(ring, FREE_M) for ring in self.crossings]
        taken = shapely.union_all(busy)
        shapely.prepare(taken)
        bays = []
        for i, kerb in enumerate(self.kerbs):
            closed = shapely.contains_xy(taken, kerb.at(kerb.s, LANE_HALF_M + 0.25))
            edges = np.flatnonzero(np.diff(np.r_[False, closed, False].astype(int)))
            spans = tuple((float(kerb.s[a]), float(kerb.s[b - 1]) + 0.1) for a, b in edges.reshape(-1, 2).tolist())
            bays.append(Bay(i, LANE_HALF_M + 0.25, True, 3.0, float(kerb.s[-1]) - 3.0, spans))
        return bays

    def true_paint(self) -> TruePaint:
        """Return the paint within reach of the path."""
        zone = shapely.buffer(self._path, REACH_M)
        dividers = []
        for xy, style in self.dividers:
            for part in shapely.get_parts(shapely.intersection(shapely.LineString(xy), zone)):
                if part.geom_type == "LineString" and part.length > 1.0:
                    dividers.append((shapely.get_coordinates(shapely.segmentize(part, 1.0)), style))
        crossings = [
            shapely.get_coordinates(ring.exterior)[:-1] for ring in self.crossings if zone.contains(ring.centroid)
        ]
        return TruePaint(dividers=dividers, crossings=crossings, stop_lines=[])

    def true_bounds(self) -> tuple[F64, F64]:
        """Return the corners (2,) around the true map."""
        return self.line.xy.min(axis=0) - REACH_M - 2.0, self.line.xy.max(axis=0) + REACH_M + 2.0

    def is_true(self, xy: F64) -> Bool:
        """Return (...) whether points (..., 2) belong to the true map."""
        return self._within(xy, REACH_M)


def graded(height: F64, cell_m: float) -> F64:
    """Return heights (rows, columns) smoothed where they are steeper than the rays through the scene may meet."""
    for sigma_m in GRADING_M:
        steep = np.hypot(*np.gradient(height, cell_m)) > STEEPEST
        if not steep.any():
            break
        share = gaussian_filter(maximum_filter(steep.astype(np.float64), round(4 * sigma_m / cell_m)), sigma_m / cell_m)
        height = height + share * (gaussian_filter(height, sigma_m / cell_m, mode="nearest") - height)
    return height


def kerb_distances(area: shapely.Geometry, west_m: float, south_m: float, rows: int, columns: int) -> F32:
    """Return (rows, columns) distances to the edge of an area at the cells' lower left corners, negative inside."""
    grid = np.zeros((rows, columns), dtype=bool)
    shape = (rows, columns)
    for part in sorted(shapely.get_parts(area), key=lambda polygon: -polygon.area):
        for ring, value in [(part.exterior, True), *((hole, False) for hole in part.interiors)]:
            px = (shapely.get_coordinates(ring) - (west_m, south_m)) / KERB_CELL_M
            grid[polygon_pixels(px[:, 1], px[:, 0], shape)] = value  # type: ignore[no-untyped-call]
    outside = distance_transform_edt(~grid) - 0.5
    inside = distance_transform_edt(grid) - 0.5
    distance = np.where(grid, -inside, outside) * KERB_CELL_M
    near_rows, near_columns = np.nonzero(np.abs(distance) < KERB_BAND_M)
    xy = np.stack([west_m + near_columns * KERB_CELL_M, south_m + near_rows * KERB_CELL_M], axis=-1)
    rings = shapely.get_parts(shapely.boundary(area))
    segments = [np.stack([ring[:-1], ring[1:]], axis=1) for ring in map(shapely.get_coordinates, rings)]
    tree = shapely.STRtree(shapely.linestrings(np.concatenate(segments)))
    (which, _), exact = tree.query_nearest(shapely.points(xy), return_distance=True, all_matches=False)
    sign = np.where(grid[near_rows, near_columns], -1.0, 1.0)
    distance[near_rows[which], near_columns[which]] = sign[which] * exact
    return distance.astype(np.float32)
