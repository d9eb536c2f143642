"""Batches in the background. Batch n depends on seed and n alone, so a resumed run sees what it would have seen."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import TypeVar

from recon.prefetch import prefetch
from training.engine.config import LoopConfig

Example = TypeVar("Example")

_AHEAD = 2  # batches: making one takes a fraction of a step


def batches(
    make: Callable[[int, int], Example], config: LoopConfig, first: int
) -> Generator[list[Example], None, None]:
    """Yield the batches of the steps from `first` on, each a list of `config.batch` examples, made by threads.

    `make(step, place)` returns one example of a batch; its error is raised where the batch would come.
    """
    steps = range(first, config.steps)
    calls = (partial(make, step, place) for step in steps for place in range(config.batch))
    with closing(prefetch(calls, workers=config.loader_threads, ahead=_AHEAD * config.batch)) as examples:
        for _ in steps:
            yield [next(examples) for _ in range(config.batch)]
