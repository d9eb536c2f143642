"""Ctrl-C and SIGTERM ask to stop, once, and the handlers before are back afterwards."""

from __future__ import annotations

import os
import signal

import pytest

from training.engine.signals import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), number)
        assert stopped()
    assert signal.getsignal(number) is before
    assert stopped()
