"""How a long stage tells what it has done and learns that it should stop."""

from __future__ import annotations

from typing import Protocol


class Tick(Protocol):
    """Called after each unit of work; raises `Cancelled` when the work should stop."""

    def __call__(self, done: int, total: int, unit: str = "", /) -> None:
        """Report that `done` of `total` units (images, steps, tiles) are finished."""


def silent(done: int, total: int, unit: str = "", /) -> None:
    """Report nothing and never stop: the default Tick."""
