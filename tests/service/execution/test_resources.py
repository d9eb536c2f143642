"""Stages of several jobs share what an executor may use, in the order in which they came."""

from __future__ import annotations

import threading
import time

import pytest

from recon.errors import Cancelled
from service.execution.resources import Amount, Resources, declared
from workers.stage import Stage

never = lambda: False  # noqa: E731


def stage(role="s", **needs):
    return Stage(name=role, function="m:f", memory_mb=needs.pop("memory_mb", 0.0), **needs)


class Taker(threading.Thread):
    """Holds resources until told to leave."""

    def __init__(self, resources, wanted):
        super().__init__(daemon=True)
        self._resources, self._wanted = resources, wanted
        self.waits, self.has, self.leave = threading.Event(), threading.Event(), threading.Event()
        self.start()

    def run(self):
        with self._resources.taken(self._wanted, self.waits.set, never):
            self.has.set()
            self.leave.wait(20)


@pytest.mark.parametrize("resource", ["cpus", "memory_mb", "gpus"])
def test_no_more_stages_run_at_once_than_fit(resource):
    resources = Resources(Amount(cpus=100.0, memory_mb=100.0, gpus=100.0))
    wanted = stage(**({"cpus": 0.0} | {resource: 40.0}))
    takers = [Taker(resources, wanted) for _ in range(2)]
    assert all(taker.has.wait(5) for taker in takers)
    third = Taker(resources, wanted)
    assert third.waits.wait(5)
    assert not third.has.wait(0.2)
    takers[0].leave.set()
    assert third.has.wait(5)
    for taker in (*takers, third):
        taker.leave.set()
        taker.join(5)


def test_small_stages_do_not_pass_a_large_one_for_ever():
    resources = Resources(Amount(cpus=2.0, memory_mb=100.0, gpus=0.0))
    running = Taker(resources, stage(cpus=1.0))
    assert running.has.wait(5)
    large = Taker(resources, stage(cpus=2.0))
    assert large.waits.wait(5)
    small = Taker(resources, stage(cpus=1.0))
    assert small.waits.wait(5)
    assert not small.has.wait(0.3)
    running.leave.set()
    assert large.has.wait(5)
    large.leave.set()
    assert small.has.wait(5)
    small.leave.set()


def test_a_stage_larger_than_the_machine_runs_alone_and_one_without_its_gpu_too():
    resources = Resources(Amount(cpus=2.0, memory_mb=100.0, gpus=0.0))
    large = Taker(resources, stage(cpus=64.0, memory_mb=1e6, gpus=1.0))
    assert large.has.wait(5)
    other = Taker(resources, stage(cpus=1.0))
    assert other.waits.wait(5)
    large.leave.set()
    assert other.has.wait(5)
    other.leave.set()


def test_what_a_stage_took_once_is_what_it_needs_from_then_on():
    resources = Resources(Amount(cpus=10.0, memory_mb=100.0, gpus=0.0))
    resources.measured("fit", 60 << 20)
    resources.measured("fit", 10 << 20)
    first = Taker(resources, stage("fit 2"))
    assert first.has.wait(5)
    second = Taker(resources, stage("fit"))
    assert second.waits.wait(5)
    first.leave.set()
    assert second.has.wait(5)
    second.leave.set()


def test_a_waiting_stage_can_be_cancelled_and_stands_in_nobodys_way():
    resources = Resources(Amount(cpus=1.0, memory_mb=100.0, gpus=0.0))
    with resources.taken(stage(), lambda: None, never):
        until = time.monotonic() + 0.3
        with (
            pytest.raises(Cancelled),
            resources.taken(stage(), lambda: None, lambda: time.monotonic() > until),
        ):
            pass
    with resources.taken(stage(), lambda: None, never):
        pass


def test_undeclared_resources_are_those_of_the_machine():
    whole = declared(0.0, 0.0, 0.0)
    assert whole.cpus >= 1
    assert whole.memory_mb > 100
    assert declared(3.0, 5.0, 1.0) == Amount(3.0, 5.0, 1.0)
