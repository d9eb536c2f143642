"""A painter of analytic bird's-eye maps: lines at known sub-pixel places, the oracle of the tracing tests."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import shapely
from scipy.spatial import cKDTree
from scipy.special import expit

from recon.bev.bev_map import BevMap
from recon.classes import CLASS_COUNT, RoadClass
from recon.grid import Grid
from vectorize.polyline import resample


def arc(*, radius_m: float, length_m: float, start: tuple[float, float] = (0.0, 0.0), heading_rad: float = 0.0):
    """Return (N, 2) points of an arc (or a straight line for an infinite radius), 5 cm apart."""
    along = np.linspace(0.0, length_m, round(length_m / 0.05) + 1)
    if np.isinf(radius_m):
        local = np.stack([along, np.zeros_like(along)], axis=1)
    else:
        local = radius_m * np.stack([np.sin(along / radius_m), 1 - np.cos(along / radius_m)], axis=1)
    c, s = np.cos(heading_rad), np.sin(heading_rad)
    return local @ np.array([[c, s], [-s, c]]) + np.array(start)


def shifted(line, left_m: float):
    """Return the line moved to its left."""
    direction = np.gradient(line, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return line + left_m * np.stack([-direction[:, 1], direction[:, 0]], axis=1)


@dataclass
class Canvas:
    """Class weights of every cell, painted one over the other with soft edges, as area coverage gives them."""

    grid: Grid
    probability: np.ndarray = field(init=False)
    views: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.probability = np.zeros((*self.grid.shape, CLASS_COUNT))
        self.probability[..., RoadClass.OFF_ROAD] = 1.0
        self.views = np.full(self.grid.shape, 20, np.uint16)

    def _paint(self, cover: np.ndarray, road_class: RoadClass) -> None:
        self.probability *= (1 - cover)[..., None]
        self.probability[..., road_class] += cover

    def _away(self, line) -> np.ndarray:
        """Return the distance to a line of every cell closer than 0.5 m, and 0.5 m elsewhere."""
        dense = resample(np.asarray(line, dtype=float), 0.04)
        away = np.full(self.grid.shape, 0.5)
        # Only cells that can be that close are asked: most of a street is farther from any one line.
        near = np.zeros(self.grid.shape, np.uint8)
        around_px = math.ceil(1.0 / self.grid.cell_m) + 6
        cv2.polylines(near, [np.floor(self.grid.to_px(dense)).astype(np.int32)], False, 1, around_px)
        rows, columns = np.nonzero(near)
        centres = self.grid.to_m(np.stack([columns + 0.5, rows + 0.5], axis=1))
        away[rows, columns] = np.minimum(cKDTree(dense).query(centres, distance_upper_bound=0.5)[0], 0.5)
        return away

    def _signed(self, polygon) -> np.ndarray:
        """Return the signed distance to a polygon, positive inside."""
        ring = np.asarray(polygon, dtype=float)
        away = self._away(np.concatenate([ring, ring[:1]]))
        place = shapely.Polygon(ring)
        shapely.prepare(place)
        inside = shapely.contains_xy(place, *np.moveaxis(self.grid.centres(), -1, 0))
        return np.where(inside, away, -away)

    def area(self, polygon, road_class: RoadClass) -> None:
        """Paint a polygon."""
        self._paint(expit(self._signed(polygon) / (0.25 * self.grid.cell_m)), road_class)

    def stroke(
        self, line, *, width_m: float = 0.15, road_class: RoadClass = RoadClass.LANE_MARKING, strength: float = 1.0
    ) -> None:
        """Paint a line of a width."""
        self._paint(strength * expit((width_m / 2 - self._away(line)) / (0.25 * self.grid.cell_m)), road_class)

    def dashes(self, line, *, dash_m: float = 3.0, gap_m: float = 6.0, **style) -> None:
        """Paint a line of dashes."""
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        for begin in np.arange(0.0, along[-1] - dash_m + 1e-6, dash_m + gap_m):
            self.stroke(line[(along >= begin) & (along <= begin + dash_m)], **style)

    def glyph(self, bitmap, place, *, heading_rad: float, long_m: float, wide_m: float, road_class: RoadClass) -> None:
        """Paint a bitmap whose last row begins at a place and whose columns lead to the right of the heading."""
        c, s = np.cos(heading_rad), np.sin(heading_rad)
        local = (self.grid.centres() - np.asarray(place)) @ np.array([[c, -s], [s, c]])
        rows, columns = bitmap.shape
        row = (1 - local[..., 0] / long_m) * rows - 0.5
        column = (0.5 - local[..., 1] / wide_m) * columns - 0.5
        # A cell shows the mean of what it covers.
        sigma_px = 0.4 * self.grid.cell_m * np.array([columns / wide_m, rows / long_m])
        soft = cv2.GaussianBlur(np.pad(bitmap, 1).astype(np.float32), (0, 0), sigma_px[0], sigmaY=sigma_px[1])
        at = (column + 1).astype(np.float32), (row + 1).astype(np.float32)
        self._paint(cv2.remap(soft, *at, cv2.INTER_LINEAR, borderValue=0).astype(np.float64), road_class)

    def hide(self, mask) -> None:
        """Make cells unseen."""
        self.views[mask] = 0

    def bev(self, *, height_m: float = 0.0, shift_m: tuple[float, float] = (0.0, 0.0)) -> BevMap:
        """Return the map, of one height and one shift of its looks where that is wrong."""
        seen = self.views > 0
        probability = np.where(seen[..., None], self.probability, 0.0).astype(np.float16)
        return BevMap(
            grid=self.grid,
            rgb=np.full((*self.grid.shape, 3), 90, np.uint8),
            class_probability=probability,
            height_m=np.full(self.grid.shape, height_m, np.float32),
            views=self.views,
            trips=seen.astype(np.uint16),
            shift_m=np.where(seen[..., None], shift_m, 0.0).astype(np.float16),
        )


def street(
    *,
    radius_m: float = np.inf,
    length_m: float = 60.0,
    half_width_m: float = 6.0,
    heading_rad: float = 0.0,
    cell_m: float = 0.1,
):
    """Return (canvas with a road between two kerbs, its centre line)."""
    centre = arc(radius_m=radius_m, length_m=length_m, heading_rad=heading_rad)
    rim = np.concatenate([shifted(centre, half_width_m), shifted(centre, -half_width_m)[::-1]])
    canvas = Canvas(Grid.around(rim, margin_m=4.0, cell_m=cell_m))
    canvas.area(rim, RoadClass.ROAD)
    return canvas, centre


def distance_to(line, points) -> np.ndarray:
    """Return the distance of points (N, 2) to a line."""
    return shapely.distance(shapely.LineString(line), shapely.points(np.asarray(points)[:, :2]))
