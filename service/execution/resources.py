"""The CPU, memory and GPU that stages of several jobs share; a stage that does not fit yet waits its turn."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recon.errors import Cancelled
from workers.stage import Stage

POLL_S = 0.1  # between looks at the wish to stop
MEMORY_SHARE = 0.8  # of the machine, where nobody declared how much jobs may use


@dataclass(frozen=True, slots=True)
class Amount:
    """Some of each resource."""

    cpus: float
    memory_mb: float
    gpus: float


class Resources:
    """What an executor may use. Memory is that which earlier runs of a stage were measured to take."""

    def __init__(self, total: Amount) -> None:
        self._total, self._free = total, total
        self._peaks_mb: dict[str, float] = {}
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, stage: Stage, waiting: Callable[[], None], should_stop: Callable[[], bool]) -> Iterator[None]:
        """Hold what a stage needs; calls `waiting` once if it has to wait. Raises Cancelled when told to stop.

        First come, first served: a large stage is not passed by small ones for ever. A stage larger than all there is
        runs alone.
        """
        need = self._take(self._need(stage), waiting, should_stop)
        try:
            yield
        finally:
            with self._changed:
                self._free = _plus(self._free, need, 1.0)
                self._changed.notify_all()

    def measured(self, role: str, peak_bytes: int) -> None:
        """Remember how much memory a stage of this role took."""
        with self._changed:
            self._peaks_mb[role] = max(self._peaks_mb.get(role, 0.0), peak_bytes / 2**20)

    def _need(self, stage: Stage) -> Amount:
        total = self._total
        memory_mb = max(stage.memory_mb, self._peaks_mb.get(stage.role, 0.0))
        return Amount(min(stage.cpus, total.cpus), min(memory_mb, total.memory_mb), min(stage.gpus, total.gpus))

    def _take(self, need: Amount, waiting: Callable[[], None], should_stop: Callable[[], bool]) -> Amount:
        ticket, told = object(), False
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not _fits(need, self._free):
                    if not told:
                        told = True
                        waiting()
                    self._changed.wait(POLL_S)
                    if should_stop():
                        raise Cancelled
                self._free = _plus(self._free, need, -1.0)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        return need


def declared(cpus: float, memory_mb: float, gpus: float) -> Amount:
    """Return what a machine offers; 0 CPUs or memory mean what it has."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return Amount(cpus or os.cpu_count() or 1, memory_mb or MEMORY_SHARE * memory, gpus)


def _fits(need: Amount, free: Amount) -> bool:
    slack = 1e-6  # shares of a GPU add up in floating point
    return (
        need.cpus <= free.cpus + slack and need.memory_mb <= free.memory_mb + slack and need.gpus <= free.gpus + slack
    )


def _plus(free: Amount, other: Amount, sign: float) -> Amount:
    return Amount(free.cpus + sign * other.cpus, free.memory_mb + sign * other.memory_mb, free.gpus + sign * other.gpus)
