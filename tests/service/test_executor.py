"""One executor in this process: how many jobs it runs at once, and what it makes of one that it cannot run."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from recon.errors import InputLost
from service.execution.slot import LeaseKeeper
from service.executor import Executor
from service.ledger.database import writing
from service.ledger.tables import TERMINAL
from service.settings import Settings
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool


def slot_of(home, leases):
    return Executor(Settings(home=home, min_free_mb=0), [LocalPool()], leases).slots[0]


def test_a_job_of_another_version_fails_and_leaves_the_executor_alive(tmp_path, engine, submissions, leases):
    job_id = submissions.submit(ProbeJob()).job["id"]
    with writing(engine) as connection:
        connection.execute(text("""UPDATE job SET spec = '{"kind": "probe", "of_old": 1}'"""))
    slot_of(tmp_path, leases).run(leases.claim())
    job = submissions.get(job_id)
    assert (job["state"], job["failure"]["code"], job["attempt"]) == ("failed", "CONFIG_INVALID", 1)
    assert job["failure"]["hint"]


def defective(*_):
    raise KeyError("nobody expects this")


def test_a_defect_ends_its_job_and_leaves_the_executor_alive(tmp_path, submissions, leases, monkeypatch):
    job_id = submissions.submit(ProbeJob()).job["id"]
    slot = slot_of(tmp_path, leases)
    monkeypatch.setattr(slot, "_publish", defective)
    with capture_logs() as lines:
        slot.run(leases.claim())
    job = submissions.get(job_id)
    assert (job["state"], job["attempt"], job["losses"]) == ("failed", 1, 0)
    assert (job["failure"]["code"], job["failure"]["retryable"]) == ("BUG", False)
    assert "nobody expects this" in job["failure"]["message"]
    (line,) = [line for line in lines if line["event"] == "job.bug"]
    assert isinstance(line["exc_info"], KeyError)


def test_a_failure_that_cannot_be_written_leaves_the_executor_alive(tmp_path, submissions, leases, monkeypatch):
    submissions.submit(ProbeJob(probe=ProbeConfig(script=("invalid",))))
    slot = slot_of(tmp_path, leases)
    monkeypatch.setattr(leases, "fail", defective)
    with capture_logs() as lines:
        slot.run(leases.claim())
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["job.bug"]


def test_a_defect_in_one_duty_of_an_executor_stops_no_other(tmp_path, submissions, leases, monkeypatch):
    beats, swept = [], threading.Event()

    def defective_beat():
        beats.append(1)
        raise KeyError("nobody expects this")

    monkeypatch.setattr(leases, "beat", defective_beat)
    monkeypatch.setattr(leases, "sweep", lambda: len(beats) > 1 and swept.set())
    monkeypatch.setattr("service.executor.BEAT_S", 0.05)
    with serving(tmp_path, leases):
        assert swept.wait(30.0)


def test_a_defect_at_a_claim_leaves_the_slot_alive(tmp_path, submissions, leases, monkeypatch):
    job_id = submissions.submit(ProbeJob(probe=ProbeConfig(script=("invalid",)))).job["id"]
    claim, times = leases.claim, []

    def defective_once():
        times.append(1)
        if len(times) == 1:
            raise KeyError("nobody expects this")
        return claim()

    monkeypatch.setattr(leases, "claim", defective_once)
    monkeypatch.setattr("service.execution.slot.BUG_PAUSE_S", 0.05)
    with serving(tmp_path, leases):
        assert [job["state"] for job in ended(submissions, [job_id])] == ["failed"]


def test_a_defect_at_a_renewal_leaves_the_keeper_of_the_lease_alive(submissions, leases, monkeypatch):
    submissions.submit(ProbeJob())
    claim, renew, times, renewed = leases.claim(), leases.renew, [], threading.Event()

    def defective_once(of):
        times.append(1)
        if len(times) == 1:
            raise KeyError("nobody expects this")
        renew(of)
        renewed.set()

    monkeypatch.setattr(leases, "renew", defective_once)
    keeper = LeaseKeeper(leases, claim, 0.05)
    keeper.start()
    assert renewed.wait(30.0)
    keeper.stop()
    assert not keeper.lost.is_set()


def test_a_job_whose_input_was_deleted_says_so(submissions, leases):
    with pytest.raises(InputLost, match="deleted"):
        leases.report_of("00000000-0000-7000-8000-000000000000")


@contextmanager
def serving(home, leases, **settings):
    """Let an executor with two slots work in threads."""
    executor = Executor(Settings(home=home, min_free_mb=0, **settings), [LocalPool(), LocalPool()], leases)
    thread = threading.Thread(target=executor.serve)
    thread.start()
    try:
        yield
    finally:
        executor.stopping.set()
        thread.join(30)
        assert not thread.is_alive()


def ended(submissions, ids):
    deadline = time.monotonic() + 60
    while any(submissions.get(one)["state"] not in TERMINAL for one in ids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [submissions.get(one) for one in ids]


def spans(submissions, job_id):
    """Return when each stage of a job began and ended."""
    times = {e["type"]: [] for e in submissions.events(job_id)}
    for event in submissions.events(job_id):
        times[event["type"]].append(event["at"])
    return list(zip(times["stage.started"], times["stage.finished"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [2.0, 1.0])
def test_several_jobs_run_at_once_within_the_declared_cpus(tmp_path, submissions, leases, cpus):
    ids = [submissions.submit(ProbeJob(probe=ProbeConfig(seconds=0.6, salt=str(n)))).job["id"] for n in range(2)]
    with serving(tmp_path, leases, cpus=cpus):
        jobs = ended(submissions, ids)
    assert [job["state"] for job in jobs] == ["succeeded"] * 2
    one, other = (spans(submissions, job_id) for job_id in ids)
    together = [a for a in one for b in other if a[0] < b[1] and b[0] < a[1]]
    assert bool(together) == (cpus == 2.0)
    reasons = [e["data"]["reason"] for i in ids for e in submissions.events(i) if e["type"] == "stage.waiting"]
    assert reasons == [] if cpus == 2.0 else set(reasons) == {"resources"}


@pytest.mark.slow
def test_an_executor_that_stops_gives_all_its_jobs_back(tmp_path, submissions, leases):
    ids = [submissions.submit(ProbeJob(probe=ProbeConfig(seconds=30.0, salt=str(n)))).job["id"] for n in range(2)]
    with serving(tmp_path, leases):
        deadline = time.monotonic() + 30
        while {submissions.get(one)["stage"] for one in ids} != {"first"}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for job_id in ids:
        job = submissions.get(job_id)
        assert (job["state"], job["attempt"], job["losses"]) == ("queued", 0, 0)


def test_a_job_that_ran_out_of_memory_is_tried_again_with_less(tmp_path, engine, submissions, leases):
    job_id = submissions.submit(ProbeJob(probe=ProbeConfig(size=1000, script=("memory",)))).job["id"]
    slot = slot_of(tmp_path, leases)
    slot.run(leases.claim())
    job = submissions.get(job_id)
    assert (job["state"], job["failure"]["code"]) == ("retry_wait", "OOM_HOST")
    assert job["failure"]["step_down"] == {"probe.size": 500}
    with writing(engine) as connection:
        failure = connection.execute(text("SELECT failure FROM attempt")).scalar_one()
        connection.execute(text("UPDATE job SET run_at = 0"))
    assert json.loads(failure)["step_down"] == {"probe.size": 500}
    slot.run(leases.claim())
    job = submissions.get(job_id)
    assert job["state"] == "succeeded"
    assert job["report"]["job"]["probe"]["size"] == 500
    assert job["spec"]["probe"]["size"] == 1000
