"""How long the supervisor waits before it starts an executor again."""

import signal

import pytest

from service.supervise import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_after


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
