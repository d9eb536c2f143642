"""A worker of the local pool serves the next job if it is as good as new, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from recon.errors import DriveInvalid
from workers import local_pool
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool
from workers.machine import Machine
from workers.run import RunEvent, run
from workers.store import Store


@pytest.fixture
def local() -> Iterator[LocalPool]:
    pool = LocalPool()
    yield pool
    pool.close()


def probe(salt: str, *script: str) -> ProbeJob:
    return ProbeJob(probe=ProbeConfig(script=script, salt=salt))  # type: ignore[arg-type]


def worker() -> int:
    """Return the id of the worker's process, 0 without one."""
    found = [p.pid for p in psutil.Process().children() if "workers.local_worker" in p.cmdline()]
    return found[0] if found else 0


def test_the_next_job_finds_the_worker_of_the_last_one(local: LocalPool, store: Store) -> None:
    run(probe("a"), store, local)
    first = worker()
    run(probe("b"), store, local)
    assert worker() == first != 0
    local.close()
    assert not psutil.pid_exists(first)


def test_a_worker_in_which_something_failed_is_not_kept(local: LocalPool, store: Store) -> None:
    with pytest.raises(DriveInvalid):
        run(probe("a", "invalid"), store, local)
    assert worker() == 0


def test_a_worker_that_holds_much_memory_serves_its_job_and_is_not_kept(store: Store) -> None:
    served = []

    def look(event: RunEvent) -> None:
        served.append(worker())

    local = LocalPool(kept_mb=1.0)
    run(ProbeJob(probe=ProbeConfig(salt="a", steps=(0.0, 0.0))), store, local, events=look)
    assert len(set(served) - {0}) == 1
    assert worker() == 0


@pytest.mark.parametrize("cuda", [False, True])
def test_a_worker_that_used_a_gpu_is_not_kept(
    local: LocalPool, store: Store, monkeypatch: pytest.MonkeyPatch, cuda: bool
) -> None:
    plan = ProbeJob.plan
    monkeypatch.setattr(ProbeJob, "plan", lambda spec: tuple(replace(stage, gpus=0.5) for stage in plan(spec)))
    monkeypatch.setattr(local_pool, "this_machine", lambda: Machine(cuda=cuda, gsplat=False))
    run(probe("a"), store, local)
    assert (worker() == 0) == cuda  # without a GPU none was used


def test_a_worker_whose_children_live_on_is_not_kept(local: LocalPool, store: Store) -> None:
    run(probe("a", "leave"), store, local)
    assert worker() == 0


def test_a_job_of_another_kind_gets_a_worker_of_its_own(local: LocalPool, store: Store) -> None:
    run(probe("a"), store, local)
    first = worker()
    local._attempt = ("workers.jobs.label:LabelJob", "local")  # as if it had served another kind
    run(probe("b"), store, local)
    assert worker() not in (0, first)


def test_a_worker_that_was_idle_for_long_is_not_used_again(
    local: LocalPool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(probe("a"), store, local)
    first = worker()
    monkeypatch.setattr(local_pool, "KEPT_S", 0.0)
    run(probe("b"), store, local)
    assert worker() not in (0, first)


def test_a_pool_that_is_forgotten_leaves_no_process(store: Store) -> None:
    run(probe("a"), store, LocalPool())
    assert worker() == 0
