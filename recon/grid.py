"""The only owner of metres <-> pixels of a bird's-eye raster, and the partition of its blocks into parts of a size."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from recon.arrays import F64, I64, Bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A north-up raster in world metres: row 0 is the northernmost, column 0 the westernmost.

    Pixel coordinates are (column, row) floats with pixel centres at +0.5, so cell (row r, column c) covers
    [c, c + 1) x [r, r + 1) and its centre is (c + 0.5, r + 0.5).
    """

    west_m: float
    north_m: float
    cell_m: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (np.isfinite([self.west_m, self.north_m]).all() and self.cell_m > 0):
            raise ValueError(f"grid at {self.west_m}, {self.north_m} with cell {self.cell_m} m is not a raster")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"grid of {self.width} x {self.height} cells is empty")

    @classmethod
    def around(cls, xy_m: npt.NDArray[np.floating], *, margin_m: float, cell_m: float) -> Self:
        """Return the smallest grid, aligned to multiples of the cell, that holds points (N, 2) plus a margin."""
        low = np.floor((xy_m.min(axis=0) - margin_m) / cell_m).astype(int)
        high = np.ceil((xy_m.max(axis=0) + margin_m) / cell_m).astype(int)
        width, height = (high - low).tolist()
        return cls(
            west_m=float(low[0] * cell_m), north_m=float(high[1] * cell_m), cell_m=cell_m, width=width, height=height
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Return (height, width): the shape of a raster on this grid."""
        return self.height, self.width

    def part(self, top: int, left: int, height: int, width: int) -> Self:
        """Return the grid of some of the rows and columns; its cells are this grid's."""
        west, north = self.west_m + left * self.cell_m, self.north_m - top * self.cell_m
        return replace(self, west_m=west, north_m=north, height=height, width=width)

    def to_px(self, xy_m: npt.NDArray[np.floating]) -> F64:
        """Return (..., 2) pixel coordinates (column, row) of world points (..., 2)."""
        column = (xy_m[..., 0] - self.west_m) / self.cell_m
        row = (self.north_m - xy_m[..., 1]) / self.cell_m
        return np.stack([column, row], axis=-1)

    def to_m(self, px: npt.NDArray[np.floating]) -> F64:
        """Return (..., 2) world metres of pixel coordinates (column, row)."""
        x = self.west_m + px[..., 0] * self.cell_m
        y = self.north_m - px[..., 1] * self.cell_m
        return np.stack([x, y], axis=-1)

    def centres(self) -> F64:
        """Return (height, width, 2) world metres of all cell centres."""
        columns, rows = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return self.to_m(np.stack([columns, rows], axis=-1))

    def cells(self, xy_m: npt.NDArray[np.floating]) -> tuple[I64, Bool]:
        """Return (..., 2) (row, column) of the cells that hold points, and whether they lie inside the grid."""
        column_row = np.floor(self.to_px(xy_m)).astype(np.int64)
        rows_columns = column_row[..., ::-1]
        inside = np.all((rows_columns >= 0) & (rows_columns < self.shape), axis=-1)
        return rows_columns, inside

    def record(self) -> dict[str, Any]:
        """Return the grid as JSON."""
        return asdict(self)


def halved(blocks: I64, most: int) -> list[I64]:
    """Return (row, column) blocks (B, 2) cut by straight lines into parts of at most `most`, in a fixed order."""
    if len(blocks) <= most:
        return [blocks]
    axis, cut = cut_of(blocks)
    return halved(blocks[blocks[:, axis] < cut], most) + halved(blocks[blocks[:, axis] >= cut], most)


def cut_of(blocks: I64) -> tuple[int, int]:
    """Return the axis across which blocks (B, 2) are longest, and the first row or column of their second half."""
    axis = int(np.argmax(np.ptp(blocks, axis=0)))
    along = blocks[:, axis]
    return axis, max(int(np.sort(along)[len(along) // 2]), int(along.min()) + 1)
