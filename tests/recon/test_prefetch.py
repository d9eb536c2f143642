"""Prefetching equals a plain loop, stays within its bound, and leaves no thread behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.prefetch import prefetch


class Broken(Exception):
    """What a call of these tests raises."""


def call(number: int, seconds: float, broken: bool) -> int:
    time.sleep(seconds)
    if broken:
        raise Broken(number)
    return number


def seen(results: Iterator[int], most: int) -> list[object]:
    """Return up to `most` results, and the error that ended them, if one did."""
    found: list[object] = []
    try:
        while len(found) < most:
            found.append(next(results))
    except StopIteration:
        found.append("end")
    except Broken as error:
        found.append(("broken", error.args))
    return found


def cases(count: int, delays: list[int], broken: set[int], source_breaks: bool) -> Iterator[Callable[[], int]]:
    for number in range(count):
        yield partial(call, number, delays[number % len(delays)] / 4000, number in broken)
    if source_breaks:
        raise Broken("source")


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("prefetch")}


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 12),
    delays=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    broken=st.sets(st.integers(0, 14), max_size=2),
    source_breaks=st.booleans(),
    workers=st.integers(0, 4),
    ahead=st.none() | st.integers(0, 6),
    most=st.integers(0, 14),
)
def test_it_is_a_plain_loop(
    count: int,
    delays: list[int],
    broken: set[int],
    source_breaks: bool,
    workers: int,
    ahead: int | None,
    most: int,
) -> None:
    plain = seen((one() for one in cases(count, delays, broken, source_breaks)), most)
    before = threads()  # of an iterator that another test left unfinished
    results = prefetch(cases(count, delays, broken, source_breaks), workers=workers, ahead=ahead)
    assert seen(results, most) == plain
    results.close()
    assert threads() <= before


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_calls_are_read_no_further_than_the_bound(ahead: int) -> None:
    read = 0

    def calls() -> Iterator[Callable[[], int]]:
        nonlocal read
        for number in range(10):
            read += 1
            yield partial(call, number, 0.0, False)

    for number in prefetch(calls(), workers=2, ahead=ahead):
        assert read <= number + 1 + ahead


def test_the_next_calls_run_while_the_consumer_works() -> None:
    begun = threading.Event()
    results = prefetch(iter([lambda: False, lambda: begun.set() or True]), workers=1)
    assert next(results) is False
    assert begun.wait(5.0)
    assert list(results) == [True]


def test_a_consumer_that_raises_leaves_no_thread_behind() -> None:
    run: list[int] = []

    def note(number: int) -> int:
        time.sleep(0.01)
        run.append(number)
        return number

    def consume() -> None:
        for number in prefetch((partial(note, n) for n in range(100)), workers=2, ahead=20):
            if number == 3:
                raise Broken

    before = threads()
    with pytest.raises(Broken):
        consume()
    assert threads() <= before
    assert len(run) < 20


def processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@pytest.mark.slow
def test_processes_do_as_well() -> None:
    assert list(prefetch((partial(pow, n, 2) for n in range(5)), workers=2, pool=processes)) == [0, 1, 4, 9, 16]
