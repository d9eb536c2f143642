"""Dense windows on the raster of a site of any size: cores cover the plane without overlap, windows show more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F64, I64, Bool
from recon.bev.bev_map import BEV_BLOCK_CELLS, BevBlocks, BevMap
from recon.grid import cut_of

WHOLE_CELLS = 6_000_000  # a site of at most as many cells, seen or not, is one window
CORE_BLOCKS = 250  # of a core: about 200 m of street
FAR_M = 1e7  # beyond any site: the outer sides of the outer cores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Core:
    """A rectangle of the plane."""

    at: I64  # (B, 2) row and column of its blocks
    low_m: F64  # (2,) west, south
    high_m: F64  # (2,) east, north

    def holds(self, xy_m: F64) -> Bool:
        """Return which points (..., 2) lie in the core; a point on a seam lies in one core only."""
        result: Bool = np.all((xy_m >= self.low_m) & (xy_m < self.high_m), axis=-1)
        return result


def is_one_window(bev: BevBlocks) -> bool:
    """Return whether a site is small enough to be traced as a whole."""
    return bev.grid.width * bev.grid.height <= WHOLE_CELLS


def cores_of(bev: BevBlocks, *, most_blocks: int = CORE_BLOCKS) -> list[Core]:
    """Return cores of at most so many blocks; every seen cell of the site lies in one."""
    return _split(bev, Core(at=bev.at, low_m=np.full(2, -FAR_M), high_m=np.full(2, FAR_M)), most_blocks)


def window(bev: BevBlocks, core: Core, margin_m: float) -> BevMap:
    """Return the raster of a core's blocks and of `margin_m` around them."""
    margin = int(np.ceil(margin_m / bev.grid.cell_m))
    top, left = (core.at.min(axis=0) * BEV_BLOCK_CELLS - margin).tolist()
    bottom, right = ((core.at.max(axis=0) + 1) * BEV_BLOCK_CELLS + margin).tolist()
    return bev.window((top, left), (min(bottom, bev.grid.height), min(right, bev.grid.width)))


def _split(bev: BevBlocks, core: Core, most: int) -> list[Core]:
    at = core.at
    if len(at) <= most:
        return [core]
    axis, cut = cut_of(at)
    seam = bev.grid.to_m(np.full(2, float(cut * BEV_BLOCK_CELLS)))[1 - axis]
    # Rows grow southwards, columns eastwards: the first part of rows is the one north of the seam.
    side = 1 - axis
    before, after = core.high_m.copy(), core.low_m.copy()
    before[side] = after[side] = seam
    bounds = [(core.low_m, before), (after, core.high_m)]
    halves = at[at[:, axis] < cut], at[at[:, axis] >= cut]
    parts = zip(halves, bounds if axis else bounds[::-1], strict=True)
    return [small for half, (low, high) in parts for small in _split(bev, Core(at=half, low_m=low, high_m=high), most)]
