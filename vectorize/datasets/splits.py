"""Splits by place: a function of the place alone, so that a place keeps its split whatever is published later.

Ground is dealt out in blocks of ten by ten cells. Where a block borders on one of a rarer split, its cells within a
patch of the border belong to no split, so that two splits never show the same ground.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from itertools import chain

from vectorize.datasets.config import SPLITS, SplitConfig
from vectorize.datasets.places import Cell, around, cell_of
from vectorize.place_cells import PLACE_M

_BLOCK = 10  # cells: the wider, the fewer are lost at borders; the narrower, the truer the shares
_RARITY = {name: number for number, name in enumerate(SPLITS)}


class Splits:
    """The splits of a dataset."""

    def __init__(self, dataset: str, config: SplitConfig, reach_m: float) -> None:
        """`reach_m` is the diagonal of a patch. The dataset's name is the seed, so two datasets differ."""
        self._dataset, self._config, self._reach_m = dataset, config, reach_m
        self.of = cache(self._of)
        self._of_block = cache(self._drawn)

    def _of(self, place: str) -> str:
        """Return the split of a place; "" where it lies too near to a rarer one."""
        cell = cell_of(place)
        # A neighbour nearer to the pole may reach farther than this cell does: whoever notices, it is this one.
        rows = math.ceil(self._reach_m / PLACE_M) + 1
        near = around(cell, self._reach_m, rows_beyond=rows)
        own = self._split(cell)
        rarest = max((self._split(one) for one in chain((cell,), near)), key=_RARITY.__getitem__)
        return own if rarest == own else ""

    def _split(self, cell: Cell) -> str:
        frame, column, row = cell
        return self._of_block(frame, column // _BLOCK, row // _BLOCK)

    def _drawn(self, frame: str, column: int, row: int) -> str:
        name = f"{self._dataset} {frame} {column} {row}".encode()
        number = int.from_bytes(hashlib.sha256(name).digest()[:8], "big") / 2**64
        if number < self._config.test:
            return "test"
        return "validation" if number < self._config.test + self._config.validation else "train"
