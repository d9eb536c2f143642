"""Batches in the background. Batch n depends on seed and n alone, so a resumed run sees what it would have seen."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TypeVar

from recon.prefetch import prefetch
from training.engine.config import LoopConfig
from training.engine.process_group import ALONE, ProcessGroup

Example = TypeVar("Example")

_AHEAD = 2  # batches: making one takes a fraction of a step


def batches(
    make: Callable[[int, int], Example], config: LoopConfig, first: int, group: ProcessGroup = ALONE
) -> Generator[list[Example], None, None]:
    """Yield what a process of the group takes of the batches of the steps from `first` on, made by threads.

    A step has `config.accumulate` parts, each a list of as many examples. `make(step, place)` returns one example of a
    batch, place 0 to `config.batch` - 1; its error is raised where its part would come.
    """
    steps, places = range(first, config.steps), group.places(config.batch)
    calls = (partial(make, step, place) for step in steps for place in places)
    size = len(places) // config.accumulate
    with closing(prefetch(calls, workers=config.loader_threads, ahead=_AHEAD * len(places))) as examples:
        for _ in range(len(steps) * config.accumulate):
            yield [next(examples) for _ in range(size)]
