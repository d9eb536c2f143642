"""Dense windows on the raster of a site of any size: cores cover the plane without overlap, windows show more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.bev import BLOCK_CELLS, BevBlocks, BevMap
from recon.tiles import cut_of

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

WHOLE_CELLS = 6_000_000  # a site of at most as many cells, seen or not, is one window
CORE_BLOCKS = 250  # of a core: about 200 m of street
FAR_M = 1e7  # beyond any site: the outer sides of the outer cores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Core:
    """A rectangle of the plane."""

    low_m: F64  # (2,) west, south
    high_m: F64  # (2,) east, north

    def holds(self, xy_m: F64) -> Bool:
        """Return which points (..., 2) lie in the core; a point on a seam lies in one core only."""
        result: Bool = np.all((xy_m >= self.low_m) & (xy_m < self.high_m), axis=-1)
        return result


def is_one_window(bev: BevBlocks) -> bool:
    """Return whether a site is small enough to be looked at as a whole."""
    return bev.grid.width * bev.grid.height <= WHOLE_CELLS


def windows(bev: BevBlocks, margin_m: float, *, core_blocks: int = CORE_BLOCKS) -> Iterator[tuple[Core, BevMap]]:
    """Yield each core with the raster of its blocks and of `margin_m` around them."""
    margin, grid = int(np.ceil(margin_m / bev.grid.cell_m)), bev.grid
    everywhere = Core(low_m=np.full(2, -FAR_M), high_m=np.full(2, FAR_M))
    for at, core in _cores(bev, bev.at, everywhere, core_blocks):
        top, left = (at.min(axis=0) * BLOCK_CELLS - margin).tolist()
        bottom, right = ((at.max(axis=0) + 1) * BLOCK_CELLS + margin).tolist()
        yield core, bev.window((top, left), (min(bottom, grid.height), min(right, grid.width)))


def _cores(bev: BevBlocks, at: I64, core: Core, most: int) -> Iterator[tuple[I64, Core]]:
    if len(at) <= most:
        yield at, core
        return
    axis, cut = cut_of(at)
    seam = bev.grid.to_m(np.full(2, float(cut * BLOCK_CELLS)))[1 - axis]
    # Rows grow southwards, columns eastwards: the first part of rows is the one north of the seam.
    side = 1 - axis
    before, after = core.high_m.copy(), core.low_m.copy()
    before[side] = after[side] = seam
    west_or_south = Core(low_m=core.low_m, high_m=before)
    east_or_north = Core(low_m=after, high_m=core.high_m)
    first, second = (east_or_north, west_or_south) if axis == 0 else (west_or_south, east_or_north)
    yield from _cores(bev, at[at[:, axis] < cut], first, most)
    yield from _cores(bev, at[at[:, axis] >= cut], second, most)
