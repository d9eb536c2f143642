"""Where the road of an upper level ends: past the edge of a deck its images show the ground far below.

On the height of the deck that ground lies in a wrong place. A road below would become another road beside the deck. So
on the way from the path outward an upper level keeps its road, and a rim of what is beside it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from recon.align.levels import Levels
from recon.arrays import F64, I8, Bool
from recon.surface.cells import Cells

BELOW_M = 30.0  # from the path of a lower level: a camera sees its road farther out than that, and faint
EDGE_M = 0.4  # of ground that is no road, from which on the road has ended: specks are smaller
RIM_M = 1.0  # of that ground that is kept: enough to tell the edge of the road
UNSEEN = -1
CHUNK = 1 << 14  # cells whose ways are walked at once


def past_deck_edges(levels: Levels, level: int, cells: Cells, road: Bool) -> Bool:
    """Return which cells (N,) of a level, of which some are `road` (N,), show what lies past the edge of a deck."""
    past = np.zeros(len(cells), dtype=bool)
    xy = cells.centres()
    asked = np.flatnonzero(levels.lies_above(level, xy, BELOW_M)) if len(cells) else np.zeros(0, np.int64)
    if not len(asked):
        return past
    rows, columns = cells.row - cells.row.min(), cells.column - cells.column.min()
    ground = np.full((int(rows.max()) + 1, int(columns.max()) + 1), UNSEEN, dtype=np.int8)
    ground[rows, columns] = road
    for part in np.array_split(asked, -(-len(asked) // CHUNK)):
        path = levels.nearest(level, xy[part]).xy_m
        ends = cells.grid.to_px(np.stack([path, xy[part]])) - [cells.column.min(), cells.row.min()]
        past[part] = _crosses_edge(ground, ends[0], ends[1], max(1, round(EDGE_M / cells.grid.cell_m)))
    own = np.ones(ground.shape, dtype=bool)
    own[rows[road & ~past], columns[road & ~past]] = False
    away_m = distance_transform_edt(own)[rows, columns] * cells.grid.cell_m
    result: Bool = past & (road | (away_m > RIM_M))
    return result


def _crosses_edge(ground: I8, path_px: F64, cell_px: F64, least: int) -> Bool:
    """Return for which cells (N, 2) the way from `path_px` (N, 2) leads over `least` cells in a row that are no road.

    What was not seen says nothing.
    """
    length = np.hypot(*(cell_px - path_px).T)
    run, crosses = np.zeros(len(length), dtype=np.int64), np.zeros(len(length), dtype=bool)
    for step in range(int(length.max()) + 1):
        column, row = np.floor(path_px + (step / np.maximum(length, 1.0))[:, None] * (cell_px - path_px)).T.astype(int)
        inside = (row >= 0) & (row < ground.shape[0]) & (column >= 0) & (column < ground.shape[1]) & (step <= length)
        here = np.full(len(length), UNSEEN, dtype=np.int8)
        here[inside] = ground[row[inside], column[inside]]
        run = np.where(here == 1, 0, run + (here == 0))
        crosses |= run >= least
    return crosses
