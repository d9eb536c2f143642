"""Jobs that wait for jobs, in the ledger alone."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from recon.errors import DriveInvalid, InputLost
from service.ledger import tables
from service.ledger.database import reading, writing
from service.ledger.leases import Leases
from service.ledger.submissions import KeyReused, new_id
from workers.jobs.probe import ProbeConfig, ProbeJob


def probe(*after):
    return ProbeJob(probe=ProbeConfig(salt=new_id()), after=after)


def submit(submissions, *after, **options):
    return submissions.submit(probe(*after), **options).job["id"]


def succeed(leases):
    claim = leases.claim()
    leases.committing(claim)
    leases.succeed(claim, {}, [])
    return claim.job_id


def kinds(submissions, job_id):
    return [event["type"] for event in submissions.events(job_id)]


def test_a_job_starts_when_all_its_inputs_have_succeeded(submissions, leases):
    one, two = submit(submissions), submit(submissions)
    job_id = submit(submissions, one, two, one)
    job = submissions.get(job_id)
    assert job["state"] == "blocked"
    assert job["progress"] == {"stage": "inputs", "done": 0, "total": 2, "unit": "jobs", "waits_for": [one, two]}
    assert submissions.get(job["id"]) == job
    assert succeed(leases) == one
    assert leases.sweep() == 1
    assert leases.sweep() == 0  # nothing new, nothing written
    half = submissions.get(job_id)
    assert (half["state"], half["progress"]["done"], half["progress"]["waits_for"]) == ("blocked", 1, [two])
    assert half["version"] > job["version"]
    assert succeed(leases) == two
    assert leases.claim() is None
    assert leases.sweep() == 1
    assert submissions.get(job_id)["state"] == "queued"
    assert succeed(leases) == job_id
    assert kinds(submissions, job_id)[:3] == ["job.blocked", "job.blocked", "job.queued"]
    assert submissions.get(submit(submissions, one, two))["state"] == "queued"  # both have succeeded already


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_lost_input_fails_the_job_and_those_behind_it(submissions, leases, end):
    sound, bad = submit(submissions), submit(submissions)
    job_id = submit(submissions, sound, bad)
    behind = submit(submissions, job_id)
    if end == "failed":
        claims = leases.claim(), leases.claim()
        leases.fail(claims[1], DriveInvalid("torn"))
        why = "DRIVE_INVALID: torn"
    else:
        submissions.cancel(bad)
        why = "was cancelled"
    while leases.sweep():
        pass
    failure = submissions.get(job_id)["failure"]
    assert (failure["code"], failure["where"], failure["retryable"]) == ("INPUT_LOST", "/after/1", False)
    assert bad in failure["message"]
    assert why in failure["message"]
    assert failure["hint"]
    assert submissions.get(behind)["failure"]["where"] == "/after/0"
    assert kinds(submissions, behind) == ["job.blocked", "job.failed"]
    with pytest.raises(InputLost, match=bad):
        submit(submissions, bad)
    with pytest.raises(InputLost, match="no such job"):
        submit(submissions, sound, "none")


def test_a_blocked_job_is_cancelled_at_once(submissions, leases):
    source = submit(submissions)
    job_id = submit(submissions, source)
    assert submissions.cancel(job_id)["state"] == "cancelled"
    succeed(leases)
    assert leases.sweep() == 0
    assert submissions.get(job_id)["state"] == "cancelled"


def test_a_job_is_not_blocked_for_ever(submissions, engine):
    source = submit(submissions)
    job_id = submit(submissions, source)
    assert Leases(engine, "early").sweep() == 0
    assert Leases(engine, "late", blocked_limit_s=-1.0).sweep() == 1
    failure = submissions.get(job_id)["failure"]
    assert (failure["code"], failure["where"]) == ("INPUT_TIMEOUT", source)
    assert submissions.get(source)["state"] == "queued"


def test_time_in_the_queue_counts_from_when_a_job_became_due(submissions, leases, engine):
    source = submit(submissions)
    job_id = submit(submissions, source)
    succeed(leases)
    with writing(engine) as connection:
        connection.execute(text("UPDATE job SET run_at = 0, created_at = 0 WHERE state = 'blocked'"))
    Leases(engine, "other", blocked_limit_s=1e12).sweep()
    assert Leases(engine, "other", queue_limit_s=60.0).sweep() == 0
    assert submissions.get(job_id)["state"] == "queued"


def test_a_blocked_job_can_be_submitted_again(submissions, leases):
    source = submit(submissions)
    spec = probe(source)
    first = submissions.submit(spec, key="blocked")
    assert submissions.submit(spec, key="blocked").job["id"] == first.job["id"]
    assert submissions.submit(spec, dedupe=True).job["id"] == first.job["id"]
    with pytest.raises(KeyReused):
        submissions.submit(probe(source), key="blocked")
    leases.fail(leases.claim(), DriveInvalid())
    leases.sweep()
    # The key still names the job it made, though a new one could not wait for this input any more.
    assert submissions.submit(spec, key="blocked").job["state"] == "failed"


def test_many_jobs_wait_for_one(submissions, leases):
    source = submit(submissions)
    ids = {submit(submissions, source) for _ in range(20)}
    succeed(leases)
    assert leases.sweep() == 20
    assert {leases.claim().job_id for _ in range(20)} == ids


def test_the_migrations_make_the_tables_that_the_code_expects(engine):
    with reading(engine) as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []
