"""The sparse regular grid of surfels: which cells exist, in an order that makes windows cheap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from recon.arrays import F64, I32, I64
from recon.grid import Grid

BLOCK_CELLS = 32
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """The cells around one camera; its index raster has row 0 in the south (y grows with the row)."""

    ids: I64  # (M,) which cells of the site
    row: I32  # (M,) window row, 0 = southernmost
    column: I32  # (M,)
    index: I32  # (rows, columns) position in `ids`, or -1
    corner_m: F64  # (2,) world metres of the south-west corner


def block_order(row: npt.NDArray[np.integer], column: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Return the order in which Cells keeps cells."""
    return np.lexsort((column, row, column // BLOCK_CELLS, row // BLOCK_CELLS))


def corridor_blocks(path_xy_m: F64, *, corridor_m: float, cell_m: float) -> tuple[Grid, I64]:
    """Return the site's grid and the (row, column) of its blocks of BLOCK_CELLS squared that overlap the corridor."""
    block_m = BLOCK_CELLS * cell_m
    grid = Grid.around(path_xy_m, margin_m=corridor_m + block_m, cell_m=cell_m)
    reach = corridor_m + block_m * 2**-0.5
    # Blocks near each pose only: a long diagonal path has a huge bounding box that is mostly empty.
    span = int(np.ceil(reach / block_m)) + 1
    offsets = np.arange(-span, span + 1)
    at = np.floor(grid.to_px(path_xy_m) / BLOCK_CELLS).astype(np.int64)[:, ::-1]
    near = (at[:, None, None, :] + np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1)).reshape(-1, 2)
    limit = np.array(grid.shape) // BLOCK_CELLS + 1
    near = np.unique(near[np.all((near >= 0) & (near < limit), axis=1)], axis=0)
    centre = grid.to_m((near[:, ::-1] + 0.5) * BLOCK_CELLS)
    return grid, near[cKDTree(path_xy_m).query(centre)[0] <= reach]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """N cells of a grid, stored block by block (blocks of BLOCK_CELLS squared, row-major inside)."""

    grid: Grid
    row: I32  # (N,)
    column: I32  # (N,)
    blocks: dict[tuple[int, int], tuple[int, int]] = field(repr=False)  # (block row, block column) -> start, stop

    @classmethod
    def of(cls, grid: Grid, row: npt.NDArray[np.integer], column: npt.NDArray[np.integer]) -> Cells:
        """Sort cells (N,) into blocks."""
        order = block_order(row, column)
        row_i, column_i = row[order].astype(np.int32), column[order].astype(np.int32)
        keys = np.stack([row_i // BLOCK_CELLS, column_i // BLOCK_CELLS], axis=1)
        starts = (
            np.flatnonzero(np.r_[True, np.any(np.diff(keys, axis=0) != 0, axis=1)]) if len(row) else np.zeros(0, int)
        )
        stops = np.r_[starts[1:], len(row)] if len(row) else starts
        names = [(int(r), int(c)) for r, c in keys[starts]]
        spans = [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)]
        return cls(grid=grid, row=row_i, column=column_i, blocks=dict(zip(names, spans, strict=True)))

    @classmethod
    def stored(cls, grid: Grid, row: I32, column: I32) -> Cells | None:
        """Return cells in the given order, or None where a block's cells are not contiguous.

        The arrays may lie in files: they are read in pieces, and not copied.
        """
        starts: list[int] = []
        names: list[tuple[int, int]] = []
        for first in range(0, len(row), CHUNK):
            keys = np.stack([row[first : first + CHUNK], column[first : first + CHUNK]], axis=1) // BLOCK_CELLS
            fresh = np.flatnonzero(np.r_[True, np.any(np.diff(keys, axis=0) != 0, axis=1)])
            found = [(int(r), int(c)) for r, c in keys[fresh]]
            begin = 1 if names and found[0] == names[-1] else 0
            names += found[begin:]
            starts += (fresh[begin:] + first).tolist()
        if len(set(names)) != len(names):
            return None
        spans = zip(starts, [*starts[1:], len(row)], strict=True)
        return cls(grid=grid, row=row, column=column, blocks=dict(zip(names, spans, strict=True)))

    @classmethod
    def corridor(cls, path_xy_m: F64, *, corridor_m: float, cell_m: float) -> Cells:
        """Return all cells within `corridor_m` of the path's positions (F, 2); memory grows with the path."""
        grid, blocks = corridor_blocks(path_xy_m, corridor_m=corridor_m, cell_m=cell_m)
        return cls.within(path_xy_m, grid, blocks, corridor_m=corridor_m)

    @classmethod
    def within(cls, path_xy_m: F64, grid: Grid, blocks: I64, *, corridor_m: float) -> Cells:
        """Return the cells of the corridor that lie in some of its blocks (B, 2)."""
        span = np.arange(BLOCK_CELLS)
        inner = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
        cells = (blocks[:, None, :] * BLOCK_CELLS + inner).reshape(-1, 2)
        cells = cells[np.all(cells < grid.shape, axis=1)]
        xy = grid.to_m(cells[:, ::-1] + 0.5)
        cells = cells[cKDTree(path_xy_m).query(xy, distance_upper_bound=corridor_m)[0] <= corridor_m]
        return cls.of(grid, cells[:, 0], cells[:, 1])

    def __len__(self) -> int:
        return len(self.row)

    def centres(self) -> F64:
        """Return (N, 2) world metres."""
        return self.grid.to_m(np.stack([self.column + 0.5, self.row + 0.5], axis=-1))

    def extent_m(self) -> F64:
        """Return (2, 2) the least and the greatest x and y of all centres."""
        low = (float(self.column.min()) + 0.5, float(self.row.max()) + 0.5)
        high = (float(self.column.max()) + 0.5, float(self.row.min()) + 0.5)
        return self.grid.to_m(np.array([low, high]))

    def window(self, low_m: F64, high_m: F64) -> Window:
        """Return the cells of all blocks that overlap the world box `low_m`..`high_m` (2,)."""
        corners = self.grid.to_px(np.stack([low_m, high_m]))
        first_column, last_column = (int(v) for v in np.floor(corners[:, 0] / BLOCK_CELLS))
        last_row, first_row = (int(v) for v in np.floor(corners[:, 1] / BLOCK_CELLS))
        spans = [
            self.blocks[r, c]
            for r in range(first_row, last_row + 1)
            for c in range(first_column, last_column + 1)
            if (r, c) in self.blocks
        ]
        ids = np.concatenate([np.zeros(0, np.int64), *(np.arange(a, b) for a, b in spans)])
        top, left = first_row * BLOCK_CELLS, first_column * BLOCK_CELLS
        height = (last_row - first_row + 1) * BLOCK_CELLS
        width = (last_column - first_column + 1) * BLOCK_CELLS
        row = (height - 1 - (self.row[ids] - top)).astype(np.int32)
        column = (self.column[ids] - left).astype(np.int32)
        index = np.full((height, width), -1, dtype=np.int32)
        index[row, column] = np.arange(len(ids), dtype=np.int32)
        corner = self.grid.to_m(np.array([left, top + height], dtype=np.float64))
        return Window(ids=ids, row=row, column=column, index=index, corner_m=corner)
