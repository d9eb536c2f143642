"""Batch n depends on n alone: not on where a run begins, nor on how many threads make it."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace

import pytest
from toy_regression import CONFIG

from recon.errors import ImageInvalid
from training.engine.loader import batches
from training.engine.process_group import ProcessGroup


def make(step: int, place: int) -> tuple[int, int]:
    time.sleep((step * 7 + place * 3) % 5 / 2000)
    return step, place


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("first", [0, 4, 11, 12])
def test_batches_come_in_order_from_any_step(threads: int, first: int) -> None:
    found = list(batches(make, replace(CONFIG, loader_threads=threads), first))
    assert found == [[(step, place) for place in range(4)] for step in range(first, 12)]


@pytest.mark.parametrize(("size", "accumulate"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_the_parts_of_all_processes_are_the_batch(size: int, accumulate: int) -> None:
    config = replace(CONFIG, accumulate=accumulate)
    groups = [ProcessGroup(rank=rank, size=size) for rank in range(size)]
    parts = [list(batches(make, config, 9, group)) for group in groups]
    assert [len(found) for found in parts] == [3 * accumulate] * size
    for i, step in enumerate((9, 10, 11)):
        taken = [one for found in parts for part in found[i * accumulate : (i + 1) * accumulate] for one in part]
        assert sorted(taken) == [(step, place) for place in range(4)]


def test_an_error_comes_where_its_batch_would() -> None:
    def broken(step: int, place: int) -> int:
        if (step, place) == (2, 1):
            raise ImageInvalid(where="2.png")
        return step

    made = batches(broken, CONFIG, 0)
    assert list(itertools.islice(made, 2)) == [[0] * 4, [1] * 4]
    with pytest.raises(ImageInvalid, match=r"2\.png"):
        next(made)
