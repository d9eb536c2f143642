"""Places as cells: which of them show the same ground.

A place is a cell of about 100 m (`vectorize.labels.sample.place_of`). Patches reach beyond the cell, so two places
whose cells are less than a patch's diagonal apart may show the same ground.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from recon.errors import ConfigInvalid
from vectorize.place_cells import PLACE_DEG, PLACE_M, WGS84

_METRES_PER_DEG = 111_000.0
_PLACE = re.compile(r"(.*):(-?\d+):(-?\d+)")

Cell = tuple[str, int, int]  # frame of the cells, column, row


@lru_cache(maxsize=100_000)
def cell_of(place: str) -> Cell:
    """Return the cell of a place; raises ConfigInvalid for what is none."""
    parsed = _PLACE.fullmatch(place)
    if parsed is None:
        raise ConfigInvalid(f"the place {place!r} is no cell", hint="Pack the labels again.")
    return parsed[1], int(parsed[2]), int(parsed[3])


def neighbours(places: Iterable[str], reach_m: float) -> dict[str, list[str]]:
    """Return for each place the others whose ground a patch of it may show; `reach_m` is a patch's diagonal.

    Two patches overlap only if their centres are less than a diagonal apart.
    """
    cells = {place: cell_of(place) for place in places}
    by_cell = {cell: place for place, cell in cells.items()}
    return {
        place: [by_cell[near] for near in around(cell, reach_m) if near in by_cell] for place, cell in cells.items()
    }


def around(cell: Cell, reach_m: float, *, rows_beyond: int = 0) -> Iterator[Cell]:
    """Yield the cells within reach of a cell, without itself.

    Meridians converge, so a cell nearer to the pole may reach a column more; with `rows_beyond` the columns are
    counted for a row that much nearer to it.
    """
    frame, column, row = cell
    wide, high = _cell_size_m(frame, abs(row) + rows_beyond)
    columns, rows = math.ceil(reach_m / wide), math.ceil(reach_m / high)
    for i in range(-columns, columns + 1):
        for j in range(-rows, rows + 1):
            if i or j:
                yield frame, column + i, row + j


def _cell_size_m(frame: str, row: int) -> tuple[float, float]:
    """Return the width and height of a cell in metres; meridians converge towards the poles."""
    if frame != WGS84:
        return PLACE_M, PLACE_M
    side = PLACE_DEG * _METRES_PER_DEG
    latitude = math.radians(min(abs(row * PLACE_DEG) + PLACE_DEG, 89.0))
    return side * math.cos(latitude), side
