"""Tiles of a site: parts that are fitted one at a time, so that memory does not grow with the length of the drive.

The corridor's blocks (`surface.cells`) are halved along the longer side until no part exceeds the number of cells
allowed. A tile owns its blocks and is fitted together with a halo of its neighbours' blocks, by all images that see its
own blocks. What couples cells (a pixel's footprint, smoothness) reaches less than a metre, so both sides of a border
are fitted to the same evidence. Across a border the values of the two tiles are blended over the width of both halos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recon.arrays import F64, I64, Bool
from recon.grid import Grid, halved
from recon.surface.cells import BLOCK_CELLS, corridor_blocks
from recon.views.views import Views

Places = npt.NDArray[np.integer]  # (N,) rows or columns of cells or blocks

# From a block to itself and its eight neighbours: the halo of a tile is one block wide.
OFFSETS = np.stack(np.meshgrid(np.arange(-1, 2), np.arange(-1, 2), indexing="ij"), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """Some blocks of a site, each a (row, column) in units of BLOCK_CELLS of the site's grid."""

    grid: Grid  # of the whole site
    own: I64  # (B, 2) blocks of this tile alone
    with_halo: I64  # (C, 2) own blocks and those of the halo

    def box_m(self) -> tuple[F64, F64]:
        """Return the south-western and north-eastern corner of own blocks and halo in world metres."""
        corners = self.grid.to_m(
            np.stack([self.with_halo.min(axis=0), self.with_halo.max(axis=0) + 1])[:, ::-1] * BLOCK_CELLS
        )
        return corners.min(axis=0), corners.max(axis=0)

    def owns(self, row: Places, column: Places) -> Bool:
        """Return (N,) which cells lie in own blocks."""
        return self._own_blocks(row // BLOCK_CELLS, column // BLOCK_CELLS)

    def _own_blocks(self, row: Places, column: Places) -> Bool:
        across = self.grid.width // BLOCK_CELLS + 3  # a neighbour may lie one beyond the grid
        keys = (row.astype(np.int64) + 1) * across + column + 1
        return np.isin(keys, (self.own[:, 0] + 1) * across + self.own[:, 1] + 1)

    def blend_weight(self, row: Places, column: Places) -> F64:
        """Return the weight (N,) of the tile's values: 1 deep in own blocks, 1/2 at a seam, 0 at the halo's outer edge.

        It is linear in the distance to the seam, the border with blocks of other tiles. The corridor's edge is no seam.
        """
        own, seam = self.owns(row, column), np.full(len(row), float(BLOCK_CELLS))
        foreign = self.with_halo[~self._own_blocks(self.with_halo[:, 0], self.with_halo[:, 1])]
        halo = replace(self, own=foreign)
        for dr, dc in OFFSETS[np.any(OFFSETS != 0, axis=1)].tolist():
            r, c = row // BLOCK_CELLS + dr, column // BLOCK_CELLS + dc
            across = np.where(own, halo._own_blocks(r, c), self._own_blocks(r, c))
            # From the cell's centre to the neighbouring block, along each axis.
            distance = [
                np.where(d > 0, BLOCK_CELLS - 0.5 - v % BLOCK_CELLS, np.where(d < 0, v % BLOCK_CELLS + 0.5, 0.0))
                for d, v in ((dr, row), (dc, column))
            ]
            seam = np.where(across, np.minimum(seam, np.hypot(*distance)), seam)
        result: F64 = 0.5 + np.where(own, 0.5, -0.5) * seam / BLOCK_CELLS
        return result

    def seen_by(self, views: Views, reach_m: float) -> Views:
        """Return the views whose ground within reach overlaps an own block, in their order."""
        numbers = []
        for number in range(len(views)):
            first, last = np.sort(self.grid.to_px(np.stack(views.footprint(number, reach_m))), axis=0)[:, ::-1]
            first, last = np.floor(first / BLOCK_CELLS), np.floor(last / BLOCK_CELLS)
            if np.any(np.all((self.own >= first) & (self.own <= last), axis=1)):
                numbers.append(number)
        return views.only(numbers)


def tiles_of(path_xy_m: F64, *, corridor_m: float, cell_m: float, most_cells: int) -> list[Tile]:
    """Return the tiles of the corridor around a path (F, 2), in a fixed order; a small site is one tile."""
    grid, blocks = corridor_blocks(path_xy_m, corridor_m=corridor_m, cell_m=cell_m)
    parts = halved(blocks, max(1, most_cells // BLOCK_CELLS**2))
    return [Tile(grid=grid, own=part, with_halo=_with_halo(part, blocks)) for part in parts]


def _with_halo(own: I64, blocks: I64) -> I64:
    """Return own blocks and their neighbours among all blocks, in the order of `blocks`."""
    near = np.unique((own[:, None] + OFFSETS).reshape(-1, 2), axis=0)
    across = np.array([int(blocks[:, 1].max()) + 3, 1])
    return blocks[np.isin((blocks + 1) @ across, (near + 1) @ across)]
