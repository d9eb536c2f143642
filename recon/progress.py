"""Progress and cancellation of a long stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Tick(Protocol):
    """Called after each unit of work; raises `Cancelled` when the work should stop."""

    def __call__(self, done: int, total: int, unit: str = "", /) -> None:
        """Report that `done` of `total` units (images, steps, tiles) are finished."""


def silent(done: int, total: int, unit: str = "", /) -> None:
    """Report nothing and never stop: the default Tick."""


class Throttle:
    """Allows an action at most once every `every_s` seconds, the first time immediately."""

    def __init__(self, every_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._clock = every_s, clock
        self._last = float("-inf")

    def due(self) -> bool:
        """Return whether the time has come; if so, the next period begins."""
        if self._clock() - self._last < self._every_s:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Begin the next period now, because the action happened out of turn."""
        self._last = self._clock()


def throttled(tick: Tick, every_s: float, *, clock: Callable[[], float] = time.monotonic) -> Tick:
    """Return a Tick that reports to `tick` at most every `every_s` seconds, and always when all work is done."""
    throttle = Throttle(every_s, clock=clock)

    def report(done: int, total: int, unit: str = "", /) -> None:
        if done >= total:
            throttle.restart()
        elif not throttle.due():
            return
        tick(done, total, unit)

    return report
