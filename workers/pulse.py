"""Whether a stage's process lives, told from outside.

A thread of the process cannot tell: a compiled kernel may hold the interpreter for minutes, and a dead-locked process
has threads that run on. So its parent looks at what the kernel of the machine counts:

- A long calculation uses the CPU: it lives, however long it reports nothing.
- A stopped process (SIGSTOP) runs no more, and nobody may ever wake it: it is given up soon.
- A dead-locked process sleeps in all its threads. So does one that waits for a slow disk: it is given up late.

An endless loop looks like a long calculation: only the time limit of the stage ends it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil

LONGEST_STEP_S = 1.0
BUSY_S = 0.1  # CPU time of the helper threads of a library over minutes is less


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseLimits:
    """How long a process may show no sign of life."""

    stopped_s: float = 20.0  # while it is stopped by a signal
    idle_s: float = 600.0  # while it sleeps


class Silence:
    """Seconds without a sign, as far as this process could have seen one; ask at least once a second.

    Time in which this process itself did not run, stopped or on a suspended machine, is no silence of the other.
    """

    def __init__(self) -> None:
        self._seconds, self._asked_at = 0.0, time.monotonic()

    def seconds(self) -> float:
        """Return the length of the silence until now."""
        now = time.monotonic()
        self._seconds += min(now - self._asked_at, LONGEST_STEP_S)
        self._asked_at = now
        return self._seconds

    def broken(self) -> None:
        """Take note of a sign."""
        self._seconds, self._asked_at = 0.0, time.monotonic()


class Pulse:
    """Watches one process and its children on this machine."""

    def __init__(self, pid: int, limits: PulseLimits) -> None:
        self._limits = limits
        self._silence = Silence()
        self._switches = self._cpu_s = -1.0
        with contextlib.suppress(psutil.Error):
            self._process = psutil.Process(pid)

    def fault(self) -> str:
        """Return why the process is to be given up, or "". Ask about once a second. A dead one has no fault."""
        try:
            self._look()
            stopped = self._process.status() == psutil.STATUS_STOPPED
        except (psutil.Error, AttributeError):
            return ""
        silent_s = self._silence.seconds()
        if stopped and silent_s > self._limits.stopped_s:
            return f"the worker process was stopped for {silent_s:.0f} s"
        if silent_s > self._limits.idle_s:
            return f"the worker process did nothing for {silent_s:.0f} s"
        return ""

    def _look(self) -> None:
        """Break the silence if the main thread ran, or any thread or child used the CPU."""
        counts = self._process.num_ctx_switches()  # of the main thread: those of helpers say nothing
        switches = float(counts.voluntary + counts.involuntary)
        if switches != self._switches:
            self._switches = switches
            self._silence.broken()
            return
        cpu_s = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                cpu_s += times.user + times.system
        if abs(cpu_s - self._cpu_s) > BUSY_S:  # it shrinks by what a dead child had used
            self._cpu_s = cpu_s
            self._silence.broken()
