"""Which job comes next: fair between tenants, by priority within one, at a cost that does not grow with the queue."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from many_jobs import many_jobs
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from recon.errors import StorageError
from service.ledger import queue
from service.ledger.database import reading, writing
from service.ledger.queue import OLDEST_EVERY
from service.ledger.submissions import new_id
from workers.jobs.probe import ProbeConfig, ProbeJob


def submit(submissions, **options):
    return submissions.submit(ProbeJob(probe=ProbeConfig(salt=new_id())), **options).job


def succeed(leases, claim):
    leases.committing(claim)
    leases.succeed(claim, {}, [])


def plan(connection, query):
    """Return how the database would run a query, its parameters sent as parameters."""
    compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
    sqlite = connection.dialect.name == "sqlite"
    rows = connection.exec_driver_sql(
        ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + str(compiled),
        tuple(compiled.params[name] for name in compiled.positiontup) if compiled.positional else compiled.params,
    )
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.slow
def test_a_claim_reads_its_partial_index_from_the_start(engine, leases):
    many_jobs(engine, "queued")
    with reading(engine) as connection:
        tenants = plan(connection, queue.tenants(connection))
        plans = {
            "job_next": plan(connection, queue.following("", oldest=False)),
            "job_oldest": plan(connection, queue.following("", oldest=True)),
            "job_due": plan(connection, queue.pauses_over(0.0)),
        }
    assert "job_next" in tenants or "job_oldest" in tenants, tenants
    assert "job_state" not in tenants, tenants
    for name, steps in plans.items():
        assert name in steps, steps
        # A sort or a scan would read the whole queue for each claim.
        assert "Seq Scan" not in steps, steps
        assert "Sort" not in steps, steps
        assert "TEMP B-TREE" not in steps, steps


@pytest.mark.slow
def test_claims_cost_the_same_behind_a_storm_of_retries(engine, submissions, leases):
    """100,000 jobs in a pause must not stand between an executor and the one job that is due."""
    many_jobs(engine, "retry_wait", run_at="1e12")
    job_id = submit(submissions)["id"]
    started = time.monotonic()
    assert leases.claim().job_id == job_id
    assert leases.claim() is None
    assert time.monotonic() - started < 5.0


def test_tenants_share_executors_however_many_jobs_one_submits(submissions, leases):
    for _ in range(10):
        submit(submissions, tenant="busy")
    late = [submit(submissions, tenant=name)["id"] for name in ("a", "b")]
    taken = [leases.claim() for _ in range(3)]
    assert {claim.job_id for claim in taken} >= set(late)


def test_tenants_take_turns_where_one_job_runs_at_a_time(submissions, leases):
    tenant = {}
    for name in ("a", "b", "c"):
        for _ in range(6):
            tenant[submit(submissions, tenant=name)["id"]] = name
    served = []
    for _ in range(9):
        claim = leases.claim()
        served.append(tenant[claim.job_id])
        succeed(leases, claim)
    assert Counter(served) == {"a": 3, "b": 3, "c": 3}


def test_a_greater_priority_goes_first_and_equals_in_order(submissions, leases):
    low = submit(submissions, priority=-1)["id"]
    first, second = submit(submissions)["id"], submit(submissions)["id"]
    job = submit(submissions, priority=5)
    assert job["priority"] == 5
    assert [leases.claim().job_id for _ in range(4)] == [job["id"], first, second, low]


def test_a_job_of_low_priority_does_not_starve(submissions, leases):
    low = submit(submissions, priority=-9)["id"]
    taken = []
    while low not in taken:
        submit(submissions, priority=9)  # there is always something more urgent
        taken.append(leases.claim().job_id)
        assert len(taken) <= OLDEST_EVERY
    assert len(taken) == OLDEST_EVERY


def test_a_storm_of_retries_leaves_room_for_new_jobs(submissions, leases, engine):
    ids = [submit(submissions)["id"] for _ in range(30)]
    for _ in ids:
        assert leases.fail(leases.claim(), StorageError()) == "retry_wait"
    fresh = submit(submissions)["id"]
    assert leases.claim().job_id == fresh  # nothing else is due
    with writing(engine) as connection:
        connection.execute(text("UPDATE job SET run_at = 0 WHERE state = 'retry_wait'"))
    again = {leases.claim().job_id for _ in ids}
    assert again == set(ids)
    for job_id in ids:
        kinds = [e["type"] for e in submissions.events(job_id)]
        assert kinds == ["job.queued", "job.running", "job.retry_wait", "job.queued", "job.running"]


def test_an_event_never_changes(submissions, engine):
    submit(submissions)
    with pytest.raises(IntegrityError, match="an event never changes"), writing(engine) as connection:
        connection.execute(text("UPDATE event SET type = 'other'"))


def test_a_changed_priority_changes_the_order_of_what_waits(submissions, leases):
    first, second, third = (submit(submissions)["id"] for _ in range(3))
    assert leases.claim().job_id == first
    assert submissions.prioritize(third, 5)["priority"] == 5
    assert submissions.prioritize(first, 5)["priority"] == 0  # an executor has it
    assert submissions.prioritize("none", 5) is None
    assert [leases.claim().job_id for _ in range(2)] == [third, second]
