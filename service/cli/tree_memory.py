"""The memory of this process and all its descendants together, sampled while they work."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

EVERY_S = 1.0


class TreeMemory(threading.Thread):
    """Remembers the largest sum of proportional set sizes (shared pages are counted once, not per process)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._end = threading.Event()
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self.join()

    def run(self) -> None:
        """Sample until the block ends."""
        own = psutil.Process()
        while not self._end.wait(EVERY_S):
            self.peak_bytes = max(self.peak_bytes, sum(_pss(p) for p in [own, *own.children(recursive=True)]))

    def line(self) -> str:
        """Return the peak as a line for the table."""
        return f"memory       {self.peak_bytes / 1e6:.0f} MB at most in all processes together (sampled every second)"


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):  # it ended meanwhile, or the system does not report it
        return 0
