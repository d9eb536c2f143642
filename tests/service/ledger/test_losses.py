"""Machines die, clocks are set, nothing moves: no attempt is lost, and nothing waits for ever."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from recon.errors import MachineLost, StorageError
from service.ledger import clock
from service.ledger.database import writing
from service.ledger.leases import LeaseLost, Leases
from service.ledger.submissions import new_id
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.pool import ClusterUnresponsive, CodeChanged

HOUR_S = 3600.0


def submit(submissions, **options):
    return submissions.submit(ProbeJob(probe=ProbeConfig(salt=new_id())), **options).job["id"]


def execute(engine, statement):
    with writing(engine) as connection:
        connection.execute(text(statement))


@pytest.fixture
def set_clock(monkeypatch):
    """Set the clock of every database by some seconds."""
    original, offset = clock.now, [0.0]

    def now(connection):
        return original(connection) + offset[0]

    for module in ("clock", "leases", "sweeps", "submissions", "blocked_jobs"):
        monkeypatch.setattr(f"service.ledger.{module}.now", now)

    def set_by(seconds):
        offset[0] += seconds

    return set_by


def test_the_jobs_of_a_dead_executor_are_queued_at_once(submissions, engine):
    dead, alive = Leases(engine, "dead"), Leases(engine, "alive")
    job_id, other = submit(submissions), submit(submissions)
    old, running = dead.claim(), alive.claim()
    assert (old.job_id, running.job_id) == (job_id, other)
    assert alive.release(["dead"]) == 1
    assert alive.release(["dead"]) == 0
    job = submissions.get(job_id)
    assert (job["state"], job["attempt"], job["losses"]) == ("queued", 0, 1)
    assert job["failure"]["code"] == "MACHINE_LOST"
    alive.renew(running)  # another executor's job is left alone
    new = alive.claim()
    assert (new.job_id, new.attempt) == (job_id, 1)
    with pytest.raises(LeaseLost):
        dead.succeed(old, {}, [])


def test_an_executor_of_the_same_name_cannot_write_for_its_dead_predecessor(submissions, engine):
    old, new = Leases(engine, "one"), Leases(engine, "one")
    submit(submissions)
    before = old.claim()
    new.release(["one"])
    after = new.claim()
    with pytest.raises(LeaseLost):
        old.committing(before)
    new.committing(after)


def test_a_cancelled_job_of_a_dead_executor_is_cancelled(submissions, leases):
    job_id = submit(submissions)
    leases.claim()
    submissions.cancel(job_id)
    leases.release(["one"])
    assert submissions.get(job_id)["state"] == "cancelled"


@pytest.mark.parametrize("error", [MachineLost(), ClusterUnresponsive(), CodeChanged()])
def test_what_is_not_the_jobs_fault_costs_no_attempt(submissions, leases, error):
    job_id = submit(submissions)
    for _ in range(5):
        assert leases.fail(leases.claim(), error) == "queued"
    job = submissions.get(job_id)
    assert (job["attempt"], job["losses"]) == (0, 5)
    assert leases.fail(leases.claim(), StorageError()) == "retry_wait"
    assert submissions.get(job_id)["attempt"] == 1


def test_a_job_that_kills_every_machine_pauses_and_ends(submissions, engine):
    leases = Leases(engine, "one", max_losses=8)
    job_id = submit(submissions)
    states = []
    while (claim := leases.claim()) is not None:
        states.append(leases.fail(claim, MachineLost()))
        execute(engine, "UPDATE job SET run_at = 0 WHERE state = 'retry_wait'")
    assert states == ["queued"] * 5 + ["retry_wait"] * 2 + ["failed"]
    assert submissions.get(job_id)["failure"]["code"] == "MACHINE_LOST"


def test_a_job_that_moves_on_survives_any_number_of_deaths(submissions, engine):
    leases = Leases(engine, "one", max_losses=3)
    job_id = submit(submissions)
    for number in range(12):
        claim = leases.claim()
        if number % 2:
            leases.progress(claim, "stage.finished", {"stage": "first"})
        assert leases.fail(claim, MachineLost()) == "queued"
    assert submissions.get(job_id)["attempt"] == 0


def test_an_ending_may_be_repeated_because_its_answer_was_lost(submissions, leases):
    job_id = submit(submissions)
    claim = leases.claim()
    for _ in range(2):
        leases.committing(claim)
    for _ in range(2):
        leases.succeed(claim, {"by": "one"}, [])
    kinds = [e["type"] for e in submissions.events(job_id)]
    assert kinds == ["job.queued", "job.running", "job.committing", "job.succeeded"]
    assert submissions.figures()["fenced_writes_total"] == 0


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_is_set_takes_no_lease_from_its_owner(submissions, engine, set_clock, jump_s):
    owner, sweeper = Leases(engine, "owner"), Leases(engine, "sweeper")
    running, waiting = submit(submissions), submit(submissions)
    claim = owner.claim()
    owner.fail(second := owner.claim(), StorageError())
    assert second.job_id == waiting
    assert sweeper.sweep() == 0
    set_clock(jump_s)
    assert sweeper.sweep() == 0
    owner.renew(claim)
    assert sweeper.sweep() == 0
    owner.committing(claim)
    owner.succeed(claim, {}, [])
    assert submissions.get(running)["state"] == "succeeded"
    # The pause of the other job ends soon, though it was to end an hour later or earlier.
    set_clock(61.0)
    assert owner.claim().job_id == waiting


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_dead_owner_is_noticed_soon_after_the_clock_was_set(submissions, engine, set_clock, jump_s):
    sweeper = Leases(engine, "sweeper", lease_s=1000.0)
    job_id = submit(submissions)
    Leases(engine, "dead", lease_s=1000.0).claim()
    sweeper.sweep()
    set_clock(jump_s)
    assert sweeper.sweep() == 0
    execute(engine, "UPDATE job SET lease_until = lease_until - 1001 WHERE state = 'running'")  # as time does
    assert sweeper.sweep() == 1
    assert submissions.get(job_id)["state"] == "queued"


def test_a_queue_survives_a_clock_that_was_weeks_behind(submissions, engine, set_clock):
    sweeper = Leases(engine, "sweeper")
    job_id = submit(submissions)
    blocked = submissions.submit(ProbeJob(after=(job_id,))).job["id"]
    sweeper.sweep()
    set_clock(30 * 86400.0)
    for _ in range(2):
        assert sweeper.sweep() == 0
    assert [submissions.get(one)["state"] for one in (job_id, blocked)] == ["queued", "blocked"]


@pytest.mark.parametrize(
    ("state", "limits", "end"),
    [
        ("running", {"running_limit_s": -1.0}, "failed"),
        ("committing", {"running_limit_s": -1.0}, "failed"),
        ("cancelling", {"ending_limit_s": -1.0}, "cancelled"),
        ("queued", {"queue_limit_s": -1.0}, "failed"),
        ("retry_wait", {"queue_limit_s": -100.0}, "failed"),
        ("blocked", {"blocked_limit_s": -1.0}, "failed"),
    ],
)
def test_every_state_that_is_no_end_has_a_time_out(submissions, leases, engine, state, limits, end):
    """Also under an owner that renews its lease for ever and does nothing else."""
    job_id = submit(submissions)
    if state == "blocked":
        job_id = submissions.submit(ProbeJob(after=(job_id,))).job["id"]
    elif state != "queued":
        claim = leases.claim()
        if state == "committing":
            leases.committing(claim)
        if state == "cancelling":
            submissions.cancel(job_id)
        if state == "retry_wait":
            leases.fail(claim, StorageError())
        else:
            leases.renew(claim)
    assert submissions.get(job_id)["state"] == state
    Leases(engine, "other", **limits).sweep()
    assert submissions.get(job_id)["state"] == end


def test_a_publication_may_take_long_under_a_lease(submissions, leases, engine):
    job_id = submit(submissions)
    claim = leases.claim()
    leases.committing(claim)
    execute(engine, "UPDATE job SET state_at = state_at - 86400")
    assert not leases.renew(claim)
    assert leases.sweep() == 0
    leases.succeed(claim, {}, [])
    assert submissions.get(job_id)["state"] == "succeeded"


def test_one_job_at_a_time_works_on_a_stage_and_its_lease_is_that_of_the_job(submissions, engine):
    one, two = Leases(engine, "one"), Leases(engine, "two")
    first, _ = submit(submissions), submit(submissions)
    a, b = one.claim(), two.claim()
    assert one.hold_stage(a, "fit-k") == ""
    assert one.hold_stage(a, "fit-k") == ""
    assert two.hold_stage(b, "fit-k") == first
    assert two.hold_stage(b, "fit-other") == ""
    one.leave_stage(a, "fit-k")
    assert two.hold_stage(b, "fit-k") == ""
    assert one.hold_stage(a, "fit-k") == b.job_id
    one.release(["two"])  # a dead or frozen owner keeps nothing
    assert one.hold_stage(a, "fit-k") == ""
    with pytest.raises(LeaseLost):
        two.hold_stage(b, "fit-k")
