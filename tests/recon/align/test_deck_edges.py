"""What an upper level keeps beside its road."""

from __future__ import annotations

import numpy as np
import pytest

from recon.align.deck_edges import RIM_M, past_deck_edges
from recon.align.levels import Levels
from recon.align.passes import Paths
from recon.grid import Grid
from recon.surface.cells import Cells

CELL_M = 0.2


def crossing(above_m: float) -> Levels:
    """Levels of a path along x at a height and one along y at zero, both through the middle."""
    along = np.arange(-20.0, 20.5)
    nothing = np.zeros_like(along)
    xyz = np.concatenate([np.c_[along, nothing, nothing + above_m], np.c_[nothing, along, nothing]])
    count = np.arange(len(xyz))
    paths = Paths(
        drive=np.zeros(len(xyz), np.int64), frame=count, driven_m=1.0 * count, xyz_m=xyz, slope=np.zeros((len(xyz), 2))
    )
    return Levels(paths=paths, level=np.repeat([0, 1], len(along)), members=(), corridor_m=15.0)


def field() -> Cells:
    grid = Grid(west_m=-20.0, north_m=12.0, cell_m=CELL_M, width=200, height=120)
    return Cells.of(grid, *(axis.ravel() for axis in np.indices(grid.shape)))


@pytest.mark.parametrize("rim_m", [0.6, 1.0, 3.0])
def test_an_upper_level_keeps_its_road_and_a_rim(rim_m: float) -> None:
    cells = field()
    y = cells.centres()[:, 1]
    road = (np.abs(y) < 4.0) | (np.abs(y) > 4.0 + rim_m)  # the road below shows past the edge of the deck
    past = past_deck_edges(crossing(6.0), 0, cells, road)
    assert not past[np.abs(y) < 4.0].any()
    assert not past[~road & (np.abs(y) < 4.0 + min(rim_m, RIM_M) - CELL_M)].any()
    assert past[np.abs(y) > 4.0 + min(rim_m, RIM_M + CELL_M)].all()


def test_specks_and_unseen_cells_are_no_edge() -> None:
    cells = field()
    y = cells.centres()[:, 1]
    road = np.ones(len(cells), dtype=bool)
    road[(y > 2.0) & (y < 2.0 + CELL_M)] = False
    assert not past_deck_edges(crossing(6.0), 0, cells, road).any()
    seen = np.flatnonzero((y < 2.0) | (y > 5.0))
    hidden = Cells.of(cells.grid, cells.row[seen], cells.column[seen])
    assert not past_deck_edges(crossing(6.0), 0, hidden, np.ones(len(hidden), dtype=bool)).any()


def test_beside_a_road_that_lies_above_no_other_nothing_is_withheld() -> None:
    cells = field()
    road = np.abs(cells.centres()[:, 1]) < 4.0
    assert not past_deck_edges(crossing(-6.0), 0, cells, road).any()
