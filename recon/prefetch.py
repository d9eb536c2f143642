"""Ordered prefetch: calls run in a pool ahead of their consumer, and their results come in the order of the calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
Call = Callable[[], T]


def threads(workers: int) -> Executor:
    """Return a pool of threads: for calls that wait for a disk or release the interpreter's lock."""
    return ThreadPoolExecutor(workers, thread_name_prefix="prefetch")


def prefetch(
    calls: Iterable[Call[T]], *, workers: int, ahead: int | None = None, pool: Callable[[int], Executor] = threads
) -> Generator[T, None, None]:
    """Yield the results of `calls` in their order, as a plain loop would.

    While the consumer works on one result, up to `ahead` (default: `workers`) of the next are computed or wait; `calls`
    is read no further than that, in the consumer's thread. No workers mean the plain loop itself. The error of a call,
    or of `calls`, is raised where its result would come. When the consumer stops early or raises, calls that have not
    begun are dropped, and the pool is closed once the others have ended. A pool of processes needs calls that pickle.
    """
    if workers < 1:
        yield from (call() for call in calls)
        return
    ahead = workers if ahead is None else ahead
    executor = pool(workers)
    try:
        coming = _submitted(calls, executor)
        waiting = deque(islice(coming, ahead + 1))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(islice(coming, 1))
    finally:
        executor.shutdown(cancel_futures=True)


def _submitted(calls: Iterable[Call[T]], executor: Executor) -> Iterator[Future[T]]:
    """Yield the future of every call; what `calls` itself raises becomes the last one."""
    try:
        for call in calls:
            yield executor.submit(call)
    except Exception as error:
        failed: Future[T] = Future()
        failed.set_exception(error)
        yield failed
