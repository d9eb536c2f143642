"""The observed area, and elements cut exactly at its edge.

A region is a raster of true and false cells with an affine map from metres. Lines are cut where they cross an edge
between a true and a false cell; areas are intersected with the union of the true cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
from scipy.ndimage import binary_fill_holes

from recon.arrays import F64, I64, Bool
from recon.grid import Grid
from vectorize import polyline
from vectorize.evaluate.metrics.areas import is_area, polygon_of
from vectorize.labels.crop import SHORTEST_PIECE_M, SMALLEST_PIECE_M2
from vectorize.road_map import Element


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """The cells of a raster that are known, and where they lie in metres."""

    known: Bool  # (h, w)
    px_from_m: F64  # (2, 3): column, row from x, y

    @classmethod
    def of_patch(cls, known: Bool, length_m: float, width_m: float) -> Region:
        """Return the region of a label's mask: ego frame, row 0 farthest forward, column 0 farthest left."""
        rows, columns = known.shape
        across, along = columns / width_m, rows / length_m
        matrix = np.array([[0.0, -across, columns / 2], [-along, 0.0, rows / 2]])
        return cls(known, matrix)

    @classmethod
    def of_grid(cls, known: Bool, grid: Grid) -> Region:
        """Return the region of a raster of the site."""
        scale = 1.0 / grid.cell_m
        matrix = np.array([[scale, 0.0, -grid.west_m * scale], [0.0, -scale, grid.north_m * scale]])
        return cls(known, matrix)

    def filled(self) -> Region:
        """Return the region without holes: what known cells surround counts as known."""
        return replace(self, known=binary_fill_holes(self.known))

    def to_px(self, xy_m: F64) -> F64:
        """Return (N, 2) column, row; cell (r, c) covers [c, c + 1) x [r, r + 1)."""
        result: F64 = xy_m[:, :2] @ self.px_from_m[:, :2].T + self.px_from_m[:, 2]
        return result

    def to_m(self, px: F64) -> F64:
        """Return (N, 2) metres of pixel coordinates."""
        result: F64 = (px - self.px_from_m[:, 2]) @ np.linalg.inv(self.px_from_m[:, :2]).T
        return result

    def holds_all(self, xy_m: F64) -> bool:
        """Return whether every cell of the points' box is known; a line may lie inside even if this is false."""
        px = self.to_px(xy_m)
        low, high = px.min(axis=0), px.max(axis=0)
        if low.min() < 0 or high[0] > self.known.shape[1] or high[1] > self.known.shape[0]:
            return False
        (left, top), (right, bottom) = np.floor(low).astype(int).tolist(), np.floor(high).astype(int).tolist()
        return bool(self.known[top : bottom + 1, left : right + 1].all())

    def at_px(self, px: F64) -> Bool:
        """Return (N,) whether the cells that hold the points are known; no point outside the raster is known."""
        column, row = np.floor(px).astype(np.int64).T
        height, width = self.known.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        result: Bool = inside & self.known[np.where(inside, row, 0), np.where(inside, column, 0)]
        return result


def clip(elements: Sequence[Element], region: Region, *, join_gap_m: float = 0.0) -> tuple[Element, ...]:
    """Return the parts of elements inside a region, cut at its edge.

    An element that is not cut is returned unchanged, whatever its size. Pieces of a cut element that are shorter than
    0.5 m or smaller than 0.5 m2 are dropped. Gaps of up to `join_gap_m` along a line do not cut it.
    """
    pieces: list[Element] = []
    for element in elements:
        pieces += _clip_area(element, region) if is_area(element) else _clip_line(element, region, join_gap_m)
    return tuple(pieces)


def _clip_line(element: Element, region: Region, join_gap_m: float) -> Iterator[Element]:
    line = element
    vertices = np.concatenate([line.vertices, line.vertices[:1]]) if line.closed else line.vertices
    if region.holds_all(vertices[:, :2]):
        yield element
        return
    spans = spans_inside(region, vertices[:, :2])
    if spans == [(0.0, len(vertices) - 1.0)]:
        yield element
        return
    along = polyline.arc_length(vertices)
    index = np.arange(len(vertices), dtype=np.float64)
    metres = [(float(np.interp(a, index, along)), float(np.interp(b, index, along))) for a, b in spans]
    if line.closed and metres:
        # A ring has no end: start after its widest gap, so that no piece is cut at the first vertex.
        ends = [metres[-1][1] - along[-1], *(stop for _, stop in metres[:-1])]
        gaps = [start - end for (start, _), end in zip(metres, ends, strict=True)]
        widest = int(np.argmax(gaps))
        if gaps[widest] <= join_gap_m:
            yield element
            return
        metres = [*metres[widest:], *((a + along[-1], b + along[-1]) for a, b in metres[:widest])]
    joined: list[tuple[float, float]] = []
    for start, stop in metres:
        if joined and start - joined[-1][1] <= join_gap_m:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    for start, stop in joined:
        if stop - start >= SHORTEST_PIECE_M:
            yield _between(line, vertices, along, start, stop)


def _between(element: Element, vertices: F64, along: F64, start: float, stop: float) -> Element:
    """Return the part of a line between two distances; on a ring `stop` may lie beyond the end."""
    if stop > along[-1]:
        vertices, along = np.concatenate([vertices, vertices[1:]]), np.concatenate([along, along[-1] + along[1:]])
    inner = along[(along > start) & (along < stop)]
    wanted = np.concatenate([[start], inner, [stop]])
    part = np.stack([np.interp(wanted, along, column) for column in vertices.T], axis=1)
    return _with_vertices(element, part, closed=False)


def spans_inside(region: Region, xy_m: F64) -> list[tuple[float, float]]:
    """Return (from, to) of every stretch of a line inside the region, in vertices: 2.25 is a quarter of segment 2.

    Between two crossings of cell edges a line stays in one cell. The cell at the middle decides, so this is exact.
    """
    px = region.to_px(xy_m)
    start, step = px[:-1], np.diff(px, axis=0)
    cuts = [np.arange(len(px), dtype=np.float64)]
    for axis in (0, 1):
        low = np.ceil(np.minimum(px[:-1, axis], px[1:, axis]))
        high = np.floor(np.maximum(px[:-1, axis], px[1:, axis]))
        # Edges outside the raster are not needed.
        size = region.known.shape[1 - axis]
        low, high = np.maximum(low, 0.0), np.minimum(high, size)
        count = np.where(step[:, axis] == 0, 0, np.maximum(high - low + 1, 0)).astype(np.int64)
        segment = np.repeat(np.arange(len(start)), count)
        number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        edge = low[segment] + number
        share = (edge - start[segment, axis]) / step[segment, axis]
        cuts.append(segment + np.clip(share, 0.0, 1.0))
    cut = np.unique(np.concatenate(cuts))
    middle = 0.5 * (cut[:-1] + cut[1:])
    segment = np.minimum(middle.astype(np.int64), len(start) - 1)
    points = start[segment] + (middle - segment)[:, None] * step[segment]
    return [(float(cut[a]), float(cut[b])) for a, b in polyline.runs(region.at_px(points))]


def _clip_area(element: Element, region: Region) -> Iterator[Element]:
    px = region.to_px(element.vertices)
    low = np.maximum(np.floor(px.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(px.max(axis=0)).astype(int), region.known.shape[::-1])
    within = np.all(px >= 0) and np.all(px <= region.known.shape[::-1])
    window = region.known[low[1] : max(high[1], low[1]), low[0] : max(high[0], low[0])]
    if not window.any():
        return
    if within and window.all():
        yield element
        return
    outline, known = shapely.transform(polygon_of(element), region.to_px), known_area(window, low)
    if shapely.covers(known, outline):  # the unknown cells lie in the corners of its box only
        yield element
        return
    for part in shapely.get_parts(shapely.intersection(outline, known)):
        if part.geom_type != "Polygon":
            continue
        ring = region.to_m(np.asarray(part.exterior.coords)[:-1])
        if shapely.Polygon(ring).area < SMALLEST_PIECE_M2:
            continue
        if element.vertices.shape[1] == 3:
            ring = np.c_[ring, _heights(element, ring)]
        yield _with_vertices(element, ring, closed=True)


def known_area(known: Bool, corner: I64 | Sequence[int] = (0, 0)) -> shapely.Geometry:
    """Return the union of the true cells in pixel coordinates; `corner` is the (column, row) of the first cell."""
    boxes: list[tuple[int, int, int, int]] = []
    row = 0
    while row < len(known):
        stop = row + 1
        while stop < len(known) and np.array_equal(known[stop], known[row]):  # equal rows make one box
            stop += 1
        boxes += [(a, row, b, stop) for a, b in polyline.runs(known[row])]
        row = stop
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4) + np.array([*corner, *corner])
    return shapely.union_all(shapely.box(*corners.T))


def _heights(element: Element, ring: F64) -> F64:
    """Return (N,) heights of new corners, taken from the nearest old vertex."""
    apart = np.hypot(*(ring[:, None] - element.vertices[None, :, :2]).transpose(2, 0, 1))
    result: F64 = element.vertices[apart.argmin(axis=1), 2]
    return result


def _with_vertices(element: Element, vertices: F64, *, closed: bool) -> Element:
    # Only geometry is compared: a piece keeps the element's score, not the views and trips of its vertices.
    count = len(vertices)
    return replace(
        element,
        vertices=vertices,
        closed=closed,
        seen=np.ones(count, dtype=bool),
        confidence=np.full(count, element.score, dtype=np.float32),
        views=np.zeros(count, np.uint16),
        trips=np.zeros(count, np.uint64),
    )
