"""Tiles of a site: what is fitted at once, so that memory does not grow with the length of the drive.

The corridor's blocks (recon/cells.py) are halved along the longer side until no part has more cells than asked for.
A tile owns its blocks and is fitted together with a rim of its neighbours' blocks, by all images that see its own:
what couples cells (a pixel's footprint, smoothness) reaches less than a metre, so both sides of a border meet the
same evidence. The whole site takes each cell from the tile that owns it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.cells import TILE_CELLS, corridor_blocks
from recon.grid import Grid
from recon.views import Views

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

RIM_BLOCKS = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tile:
    """A part of a site's blocks; each is a (row, column) in units of TILE_CELLS of the site's grid."""

    grid: Grid  # of the whole site
    own: I64  # (B, 2)
    around: I64  # (C, 2) own blocks and the rim

    def box_m(self) -> tuple[F64, F64]:
        """Return the south-western and north-eastern corner of own blocks and rim in world metres."""
        corners = self.grid.to_m(np.stack([self.around.min(axis=0), self.around.max(axis=0) + 1])[:, ::-1] * TILE_CELLS)
        return corners.min(axis=0), corners.max(axis=0)

    def owns(self, row: npt.NDArray[np.integer], column: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Return (N,) which cells lie in own blocks."""
        blocks_across = self.grid.width // TILE_CELLS + 1
        keys = row.astype(np.int64) // TILE_CELLS * blocks_across + column // TILE_CELLS
        return np.isin(keys, self.own[:, 0] * blocks_across + self.own[:, 1])

    def seen_by(self, views: Views, reach_m: float) -> Views:
        """Return the views whose ground within reach meets an own block, in their order."""
        numbers = []
        for number in range(len(views)):
            first, last = np.sort(self.grid.to_px(np.stack(views.footprint(number, reach_m))), axis=0)[:, ::-1]
            first, last = np.floor(first / TILE_CELLS), np.floor(last / TILE_CELLS)
            if np.any(np.all((self.own >= first) & (self.own <= last), axis=1)):
                numbers.append(number)
        return views.only(numbers)


def tiles_of(path_xy_m: F64, *, corridor_m: float, cell_m: float, most_cells: int) -> list[Tile]:
    """Return the tiles of the corridor around a path (F, 2), in a fixed order; a small site is one tile."""
    grid, blocks = corridor_blocks(path_xy_m, corridor_m=corridor_m, cell_m=cell_m)
    parts = halved(blocks, max(1, most_cells // TILE_CELLS**2))
    return [Tile(grid=grid, own=part, around=_with_rim(part, blocks)) for part in parts]


def halved(blocks: I64, most: int) -> list[I64]:
    """Return (row, column) blocks (B, 2) in parts of at most `most`, parted by straight lines, in a fixed order."""
    if len(blocks) <= most:
        return [blocks]
    axis, cut = cut_of(blocks)
    return halved(blocks[blocks[:, axis] < cut], most) + halved(blocks[blocks[:, axis] >= cut], most)


def cut_of(blocks: I64) -> tuple[int, int]:
    """Return the axis across which blocks (B, 2) are longest, and the first row or column of their second half."""
    axis = int(np.argmax(np.ptp(blocks, axis=0)))
    along = blocks[:, axis]
    return axis, max(int(np.sort(along)[len(along) // 2]), int(along.min()) + 1)


def _with_rim(own: I64, blocks: I64) -> I64:
    """Return own blocks and their neighbours among all blocks, in the order of `blocks`."""
    span = np.arange(-RIM_BLOCKS, RIM_BLOCKS + 1)
    offsets = np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    near = np.unique((own[:, None] + offsets).reshape(-1, 2), axis=0)
    across = int(blocks[:, 1].max()) + RIM_BLOCKS + 2
    keys = (blocks + RIM_BLOCKS) @ np.array([across, 1])
    return blocks[np.isin(keys, (near + RIM_BLOCKS) @ np.array([across, 1]))]
