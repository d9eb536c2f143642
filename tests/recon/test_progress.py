"""Progress is reported often enough and not too often, and the end is always reported."""

from __future__ import annotations

import pytest

from recon.errors import Cancelled
from recon.progress import Throttle, throttled


class Clock:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_time_and_then_once_a_period() -> None:
    clock = Clock()
    throttle = Throttle(10.0, clock=clock)
    found = []
    for clock.now in range(0, 40, 4):
        found.append(throttle.due())
    assert [4 * i for i, due in enumerate(found) if due] == [0, 12, 24, 36]


def test_what_is_done_out_of_turn_begins_a_period() -> None:
    clock = Clock()
    throttle = Throttle(10.0, clock=clock)
    throttle.restart()
    clock.now = 9.0
    assert not throttle.due()
    throttle.restart()
    clock.now = 18.0
    assert not throttle.due()
    clock.now = 19.0
    assert throttle.due()


def test_a_throttled_tick_always_reports_the_end() -> None:
    clock, seen = Clock(), list[tuple[int, int, str]]()
    tick = throttled(lambda done, total, unit="", /: seen.append((done, total, unit)), 1.0, clock=clock)
    for done in range(1, 101):
        clock.now += 0.03
        tick(done, 100, "steps")
    assert seen[0] == (1, 100, "steps")
    assert seen[-1] == (100, 100, "steps")
    assert len(seen) == 4


def test_a_throttled_tick_still_stops_the_work() -> None:
    def refuse(done: int, total: int, unit: str = "", /) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        throttled(refuse, 1.0)(1, 2)
