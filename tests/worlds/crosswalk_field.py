"""Evidence of crosswalks only: equal rectangles, one in every tile of a raster."""

from __future__ import annotations

import numpy as np

from recon.grid import Grid
from vectorize.evidence import Evidence

CELL_M = 0.1


def crosswalk_field(count: int, tile: tuple[int, int]) -> Evidence:
    """Return evidence of count x count rectangles of 20 x 40 cells, each in the middle of a tile of (rows, columns)."""
    painted = np.zeros(tile, np.float32)
    top, left = (tile[0] - 20) // 2, (tile[1] - 40) // 2
    painted[top : top + 20, left : left + 40] = 1.0
    paint = np.tile(painted, (count, count))
    height, width = paint.shape
    ones, none = np.ones(paint.shape, np.float32), np.zeros(paint.shape, np.float32)
    return Evidence(
        grid=Grid(west_m=0, north_m=height * CELL_M, cell_m=CELL_M, width=width, height=height),
        known=ones > 0,
        drivable=ones,
        marking=none,
        crosswalk=paint,
        stop_line=none,
        other_marking=none,
        background=none,
        light=none,
        trust=ones,
        height_m=none,
        views=none.astype(np.uint16),
        trips=none.astype(np.uint64),
        shift_m=np.zeros((*paint.shape, 2), np.float32),
    )
