"""Limits that one process keeps in memory: so many requests a second, so many streams at once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

MOST_NAMES = 10_000


class TokenBuckets:
    """A bucket for each name, which refills with time. Of very many names the longest unused are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (tokens, when)

    def wait_s(self, name: str, rate_per_s: float, burst: float, take: float = 1.0) -> float:
        """Take tokens and return 0, or take none and return the seconds until there is one."""
        now = time.monotonic()
        with self._lock:
            tokens, when = self._buckets.pop(name, (burst, now))
            tokens = min(burst, tokens + (now - when) * rate_per_s)
            enough = tokens >= 1.0
            self._buckets[name] = (tokens - take if enough else tokens, now)
            if len(self._buckets) > MOST_NAMES:
                self._buckets.popitem(last=False)
        return 0.0 if enough else (1.0 - tokens) / rate_per_s


class Slots:
    """Counts what is held open at once. A slot is taken when the work begins, so the limit may be passed by a few."""

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    @property
    def free(self) -> bool:
        """Return whether one more may be taken."""
        return self._taken < self._most

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot. Only for use on the event loop."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
