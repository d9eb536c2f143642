"""The conformance suite: whatever runs stages must behave like this."""

import time

import psutil
import pytest

from recon.errors import Cancelled, DiskFull, DriveInvalid, RoadscribeError, StageTimeout, WorkerLost
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.pulse import PulseLimits
from workers.run import run


def probe(*script, **fields):
    return ProbeJob(probe=ProbeConfig(script=script, **fields))


def test_a_job_runs_reports_progress_and_publishes(pool, store):
    events = []
    report = run(probe(seconds=0.6), store, pool, events=events.append)
    assert [e.kind for e in events if e.kind != "stage.progress"] == ["stage.started", "stage.finished"] * 2
    progress = [e for e in events if e.kind == "stage.progress"]
    assert progress
    assert all(0 < e.done <= e.total == 30 and e.unit == "steps" for e in progress)
    assert [(f.path, f.source.read_bytes()) for f in report.files()] == [("result.txt", b"second second ")]
    assert all(s.seconds >= 0.5 and s.peak_memory_bytes > 10e6 for s in report.stages)


def test_the_second_run_skips_every_stage(pool, store):
    first = run(probe(salt="skip"), store, pool)
    events = []
    second = run(probe(salt="skip"), store, pool, events=events.append)
    assert [e.kind for e in events] == ["stage.skipped"] * 2
    assert [s.digest for s in first.stages] == [s.digest for s in second.stages]


def test_a_typed_error_keeps_its_type_and_place(pool, store):
    with pytest.raises(DriveInvalid) as caught:
        run(probe("invalid"), store, pool)
    assert (caught.value.where, caught.value.hint) == ("frame 3", "Tell it otherwise.")


def test_a_foreign_error_becomes_a_bug_with_its_traceback(pool, store):
    with pytest.raises(RoadscribeError) as caught:
        run(probe("bug"), store, pool)
    assert caught.value.code == "BUG"
    assert "ZeroDivisionError" in "".join(caught.value.__notes__)


def test_a_killed_worker_is_an_error_and_the_next_run_continues(pool, store):
    with pytest.raises(WorkerLost):
        run(probe("crash"), store, pool)
    events = []
    run(probe("crash"), store, pool, events=events.append)
    assert [e.kind for e in events if e.stage == "first"] == ["stage.skipped"]
    run(probe(salt="other"), store, pool)


def test_a_full_disk_publishes_nothing(pool, store):
    with pytest.raises(DiskFull):
        run(probe("disk_full"), store, pool)
    assert not list((store.home / "objects").glob("second/*"))
    assert run(probe("disk_full"), store, pool).files()


@pytest.mark.slow
def test_cancel_kills_a_deaf_worker(pool, store):
    before = set(psutil.Process().children(recursive=True))
    started = time.monotonic()
    stop_at = started + 2.0
    with pytest.raises(Cancelled):
        run(probe("hang"), store, pool, should_stop=lambda: time.monotonic() > stop_at)
    assert time.monotonic() - stop_at < 5.0
    after = [p for p in psutil.Process().children(recursive=True) if p not in before]
    assert not [p for p in after if "local_worker" in " ".join(p.cmdline())]
    run(probe("hang"), store, pool)  # the lock died with the worker


@pytest.mark.slow
@pytest.mark.parametrize(("grace_s", "saved"), [(20.0, True), (0.0, False), (0.05, False)])
def test_a_cancelled_stage_may_save(pool, store, grace_s, saved):
    events = []
    begun = lambda: any(event.values for event in events)  # noqa: E731
    spec = ProbeJob(probe=ProbeConfig(script=("save",), grace_s=grace_s, salt=str(grace_s)))
    with pytest.raises(Cancelled):
        run(spec, store, pool, events=events.append, should_stop=begun)
    assert len(list(store.home.glob("work/*.saved"))) == saved
    last = [event for event in events if event.values][-1]
    assert last.record()["values"] == {"loss": pytest.approx(1.0 / last.done)}
    assert run(spec, store, pool).files()  # the next attempt is not disturbed


@pytest.mark.slow
def test_a_stage_has_a_time_limit(pool, store):
    with pytest.raises(StageTimeout):
        run(probe("hang"), store, pool, stage_limit_s=2.0)


@pytest.fixture
def strict_pool(pool, monkeypatch):
    """Return a pool that gives a worker up soon."""
    monkeypatch.setattr(pool, "_limits", PulseLimits(stopped_s=4.0, idle_s=4.0))
    return pool


@pytest.mark.slow
@pytest.mark.parametrize(("action", "reason"), [("stop", "was stopped for"), ("hang", "did nothing for")])
def test_a_worker_that_runs_no_more_is_killed_and_the_next_run_continues(strict_pool, store, action, reason):
    """A stop by a signal, and a sleep in all threads, which is what a dead lock looks like."""
    started = time.monotonic()
    with pytest.raises(WorkerLost, match=reason):
        run(probe(action), store, strict_pool)
    assert time.monotonic() - started < 60
    assert not [p for p in psutil.Process().children(recursive=True) if p.status() == psutil.STATUS_STOPPED]
    assert run(probe(action), store, strict_pool).files()


@pytest.mark.slow
def test_a_long_calculation_that_reports_nothing_is_left_alone(strict_pool, store):
    report = run(probe("busy", seconds=6.0), store, strict_pool)
    assert report.stages[-1].seconds > 6.0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("pool", ["ray"], indirect=True)
def test_a_stopped_ray_worker_is_killed_with_its_stage(pool, store, monkeypatch):
    monkeypatch.setattr(pool, "_limits", PulseLimits(stopped_s=4.0))
    stopped = []

    def stop(event):
        children = psutil.Process().children(recursive=True)
        if event.kind == "stage.progress" and not stopped:
            stopped.extend(p for p in children if "run_stage" in p.name() or "local_worker" in " ".join(p.cmdline()))
            [p.suspend() for p in stopped if "run_stage" in p.name()]

    with pytest.raises(WorkerLost, match="said nothing for"):
        run(probe(seconds=3.0), store, pool, events=stop)
    assert len(stopped) >= 2
    assert not psutil.wait_procs(stopped, timeout=5)[1]
