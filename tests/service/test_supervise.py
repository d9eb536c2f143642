"""When the supervisor starts an executor again, and how long it waits before."""

import errno
import signal
import threading
import time

import pytest

from service.settings import Settings
from service.supervise import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor, pause_after


@pytest.mark.parametrize(
    ("lived_s", "status", "pause_s"),
    [
        (1.0, 1, 4.0),  # its settings may be wrong
        (1.0, -signal.SIGSEGV, 4.0),
        (1.0, -signal.SIGKILL, FIRST_PAUSE_S),  # somebody killed it, which says nothing about the next one
        (60.0, 1, FIRST_PAUSE_S),
    ],
)
def test_the_pause_grows_while_executors_die_young_by_themselves(lived_s, status, pause_s):
    assert pause_after(2.0, lived_s, status) == pause_s
    assert pause_after(LONGEST_PAUSE_S, lived_s, status) <= LONGEST_PAUSE_S


@pytest.mark.parametrize("part", ["_run_once", "_free_jobs"])
def test_the_supervisor_outlives_what_fails_in_it(tmp_path, monkeypatch, part):
    times, twice = [], threading.Event()

    def failing():
        times.append(time.monotonic())
        if len(times) == 2:
            twice.set()
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("service.supervise.FIRST_PAUSE_S", 0.05)
    supervisor = Supervisor(Settings(home=tmp_path, executor="local"))
    monkeypatch.setattr(supervisor, "_run_once", lambda: 1)
    monkeypatch.setattr(supervisor, part, failing)
    supervisor.start()
    assert twice.wait(30.0)
    supervisor.stop()
    assert not supervisor.is_alive()
    assert times[1] - times[0] >= 0.05
