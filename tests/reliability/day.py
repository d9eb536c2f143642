"""A day of work in a quarter of an hour: whether what runs for long keeps its size."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from stage import Outcome, kill, on_stage

KILL_EVERY_S = 60.0
MOST_GROWTH_MB = 10.0
WARM = 0.2  # of the jobs: what is loaded and compiled by then is not growth


def day(count: int, seed: int) -> Outcome:
    """Let as many small jobs go through two executors, one of which is killed every minute."""
    outcome = Outcome("a day of work", count)
    with on_stage(outcome, seed, longest_s=0.05) as stage:
        second = stage.service.start_executor()
        api, lasting = psutil.Process(stage.service.process.pid), psutil.Process(second.pid)
        sizes: dict[str, Callable[[], float]] = {"API": lambda: _mb(api), "executor": lambda: _mb(lasting)}
        warm: dict[str, float] = {}
        started, killed_at = time.monotonic(), time.monotonic()
        while (ended := stage.ledger.ended()) < count:
            if not warm and ended >= WARM * count:
                warm = {name: size() for name, size in sizes.items()}
            if time.monotonic() - killed_at > KILL_EVERY_S:
                outcome.recovery_s.append(stage.until_work_goes_on(kill(stage.service.executor)))
                outcome.notes["executors killed"] = outcome.notes.get("executors killed", 0) + 1
                killed_at = time.monotonic()
            time.sleep(0.2)
        outcome.notes["jobs a minute"] = 60 * count / (time.monotonic() - started)
        for name, before in warm.items():
            grown = sizes[name]() - before
            outcome.notes |= {f"MB of the {name}": before + grown, f"MB by which the {name} grew": grown}
            outcome.faults[f"the {name} grew by more than {MOST_GROWTH_MB:.0f} MB"] = int(grown > MOST_GROWTH_MB)
        with suppress(psutil.Error):
            second.terminate()
        second.wait(60)
    return outcome


def _mb(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6
