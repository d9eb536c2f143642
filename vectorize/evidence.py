"""What was observed, and how far a place of the raster can be trusted; `trace.confidence` turns it into probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from recon.arrays import F32, F64, I64, U16, U64, Bool
from recon.bev.bev_map import BevMap
from recon.classes import DRIVABLE, RoadClass
from recon.grid import Grid
from vectorize import polyline

# Views from which a cell is trusted half. The curves of confidence were fitted with 4 when every image was a view; of
# looks that differ a cell of the demo city has a fifth less, and 3.2 leaves its mean trust as it was.
HALF_TRUST_VIEWS = 3.2
GAMMA = 2.2  # of the images' colours, near enough to compare places of one map
PAINT_M = 0.4  # each side of the axis of a line
LEAST_KNOWN = 1e-3  # share of known classes or cells below which nothing is divided by it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """Rasters that tracing reads, all (H, W): probabilities are normalised over the known classes."""

    grid: Grid
    known: Bool
    drivable: F32
    marking: F32
    crosswalk: F32
    stop_line: F32
    other_marking: F32
    background: F32
    light: F32  # 0..1, proportional to light: the images' colours without their gamma
    trust: F32
    height_m: F32
    views: U16
    trips: U64
    shift_m: F32  # (2, H, W) the planes of BevMap's

    @classmethod
    def of(cls, bev: BevMap, *, min_views: int) -> Evidence:
        """Gather the evidence of a bird's-eye map; cells with fewer than `min_views` views count as unseen."""
        probability = bev.class_probability
        unknown = probability[..., RoadClass.UNKNOWN].astype(np.float32)
        known = (bev.views >= max(1, min_views)) & (unknown < 0.5)
        scale = np.where(known, 1.0 / np.maximum(1.0 - unknown, LEAST_KNOWN), 0.0).astype(np.float32)

        def share(*classes: RoadClass) -> F32:
            total = np.zeros(known.shape, dtype=np.float32)
            for road_class in classes:
                total += probability[..., road_class]
            total *= scale
            return total

        views = bev.views.astype(np.float32)
        return cls(
            grid=bev.grid,
            known=known,
            drivable=share(*DRIVABLE),
            marking=share(RoadClass.LANE_MARKING),
            crosswalk=share(RoadClass.CROSSWALK),
            stop_line=share(RoadClass.STOP_LINE),
            other_marking=share(RoadClass.OTHER_MARKING),
            background=share(RoadClass.BACKGROUND),
            light=((bev.rgb.mean(axis=-1) / 255.0) ** GAMMA).astype(np.float32),
            trust=np.where(known, views / (views + HALF_TRUST_VIEWS), 0.0).astype(np.float32),
            height_m=bev.height_m,
            views=bev.views,
            trips=bev.trips.astype(np.uint64, copy=False),
            shift_m=np.moveaxis(bev.shift_m, -1, 0).astype(np.float32, order="C"),
        )

    def with_markings(self, lines: Sequence[F64]) -> Evidence:
        """Return the evidence with STOP_LINE paint along lines (2, 2) as LANE_MARKING."""
        if not lines:
            return self
        beside = np.zeros(self.grid.shape, np.uint8)
        wide = max(1, round(2 * PAINT_M / self.grid.cell_m))
        for line in lines:
            start, end = np.floor(self.grid.to_px(line)).astype(int).tolist()
            cv2.line(beside, start, end, 1, thickness=wide)
        marking = np.where(beside > 0, np.maximum(self.marking, self.stop_line), self.marking)
        return replace(self, marking=marking.astype(np.float32))

    def sample(self, raster: F32, xy_m: F64) -> F64:
        """Return bilinear values (...) of a raster at world points (..., 2); zero beyond its edge."""
        px = self.grid.to_px(xy_m)
        at = np.stack([px[..., 1] - 0.5, px[..., 0] - 0.5])
        result: F64 = map_coordinates(raster, at, order=1, mode="constant", output=np.float64)
        return result

    def aside_m(self, xy_m: F64, direction: F64) -> F64:
        """Return how far paint along directions (N, 2) at points (N, 2) lies aside where the height is wrong (N,).

        That is one standard deviation, across the direction: a line shifted along itself stays where it is.
        """
        east, north = (self.sample(plane, xy_m) for plane in self.shift_m)
        aside: F64 = np.abs((np.stack([east, north], axis=1) * polyline.left_normals(direction)).sum(axis=1))
        return aside

    def is_known(self, xy_m: F64) -> Bool:
        """Return whether the cells that hold world points (..., 2) were observed."""
        rows, columns, inside = self._cells(xy_m)
        result: Bool = self.known[rows, columns] & inside
        return result

    def views_and_trips(self, xy_m: F64, kept: I64) -> tuple[U16, U64]:
        """Return views (M,) and trips (M,) of a line of dense points (N, 2) of which `kept` (M,) are its vertices.

        A vertex represents the points half-way to its neighbours that have the same known state. It has the mean of
        their views, rounded, and every trip that saw one of them, as bits.
        """
        rows, columns, inside = self._cells(xy_m)
        known = self.known[rows, columns] & inside
        borders = polyline.stretches(kept, len(xy_m))
        same_state = inside & (known == np.repeat(known[kept], np.diff(borders)))
        views, trips = self.views[rows, columns].astype(np.int64), self.trips[rows, columns]
        count = np.maximum(np.add.reduceat(same_state.astype(np.int64), borders[:-1]), 1)
        mean = np.add.reduceat(np.where(same_state, views, 0), borders[:-1]) / count
        return np.rint(mean).astype(np.uint16), np.bitwise_or.reduceat(trips * same_state, borders[:-1])

    def _cells(self, xy_m: F64) -> tuple[I64, I64, Bool]:
        """Return row and column (...) of the cells that hold world points (..., 2), and whether the raster has them."""
        cells, inside = self.grid.cells(xy_m)
        rows = np.clip(cells[..., 0], 0, self.grid.height - 1)
        return rows, np.clip(cells[..., 1], 0, self.grid.width - 1), inside

    def with_height(self, xy_m: F64) -> F64:
        """Return (N, 3): the points with the surface height, interpolated along the line where none was seen."""
        rows, columns, inside = self._cells(xy_m)
        valid = self.known[rows, columns] & inside
        height = self.height_m[rows, columns].astype(np.float64)
        if not valid.any():
            valid = np.ones(len(xy_m), dtype=bool)
            height = np.full(len(xy_m), float(self.height_m[self.known].mean()) if self.known.any() else 0.0)
        index = np.arange(len(xy_m))
        result: F64 = np.c_[xy_m, np.interp(index, index[valid], height[valid])]
        return result


def smooth_known(raster: F32, known: Bool, sigma_px: float) -> F32:
    """Return a Gaussian smoothing of the known cells alone; zero where no known cell is near."""
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma_px)
    total = cv2.GaussianBlur(np.where(known, raster, np.float32(0)).astype(np.float32), (0, 0), sigma_px)
    result: F32 = np.where(weight > LEAST_KNOWN, total / np.maximum(weight, LEAST_KNOWN), np.float32(0)).astype(
        np.float32
    )
    return result
