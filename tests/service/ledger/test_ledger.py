import itertools
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from recon.errors import Cancelled, DriveInvalid, WorkerLost
from service.ledger.database import migrate, writing
from service.ledger.leases import LeaseLost, Leases
from service.ledger.submissions import KeyReused, StoredFile, new_id
from workers.jobs.probe import ProbeConfig, ProbeJob

counter = itertools.count()


def probe():
    return ProbeJob(probe=ProbeConfig(salt=str(next(counter))))


def submit(submissions, **options):
    return submissions.submit(probe(), **options).job["id"]


def kinds(submissions, job_id):
    events = submissions.events(job_id)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    return [e["type"] for e in events]


def test_ids_sort_by_time():
    ids = []
    for _ in range(5):
        ids.append(new_id())
        time.sleep(0.002)
    assert ids == sorted(ids)


def test_migrating_twice_changes_nothing(engine, tmp_path, submissions):
    job_id = submit(submissions)
    migrate(engine, tmp_path)
    assert submissions.get(job_id)["state"] == "queued"


def test_a_key_names_one_job_and_one_body(submissions):
    spec = probe()
    first, again = submissions.submit(spec, key="k"), submissions.submit(spec, key="k")
    assert (first.existed, again.existed) == (False, True)
    assert first.job["id"] == again.job["id"]
    with pytest.raises(KeyReused):
        submissions.submit(probe(), key="k")


def test_dedupe_finds_the_same_spec_unless_it_failed(submissions, leases):
    spec = probe()
    first = submissions.submit(spec).job["id"]
    assert submissions.submit(spec).job["id"] != first
    assert submissions.submit(spec, dedupe=True).existed
    for _ in range(2):
        leases.fail(leases.claim(), DriveInvalid())
    assert not submissions.submit(spec, dedupe=True).existed


def test_a_job_lives_and_ends_with_its_files(submissions, leases):
    job_id = submit(submissions)
    claim = leases.claim()
    assert leases.claim() is None
    leases.progress(claim, "stage.started", {"stage": "fit"})
    leases.progress(claim, "stage.progress", {"stage": "fit", "done": 1, "total": 2}, keep=False)
    assert leases.renew(claim) is False
    leases.committing(claim)
    file = StoredFile(job_id=job_id, path="map.geojson", sha256="ab", size_bytes=3, stored="objects/x")
    leases.succeed(claim, {"coverage": 1}, [file])
    job = submissions.get(job_id)
    assert (job["state"], job["report"], job["progress"]["done"]) == ("succeeded", {"coverage": 1}, 1)
    assert submissions.artifacts(job_id) == [file]
    assert submissions.artifact(sha256="ab") == submissions.artifact(job_id=job_id, path="map.geojson") == file
    assert kinds(submissions, job_id) == [
        "job.queued",
        "job.running",
        "stage.started",
        "job.committing",
        "job.succeeded",
    ]


def test_a_job_that_ended_cannot_change(engine, submissions, leases):
    job_id = submit(submissions)
    leases.fail(leases.claim(), DriveInvalid())
    assert submissions.cancel(job_id)["state"] == "failed"
    with pytest.raises(IntegrityError, match="the job has ended"), writing(engine) as connection:
        connection.execute(text("UPDATE job SET state = 'queued'"))


def test_attempts_are_bounded_and_delayed(submissions, leases, engine):
    job_id = submit(submissions)
    states = []
    for _ in range(3):
        states.append(leases.fail(leases.claim(), WorkerLost(where="fit")))
        assert leases.claim() is None
        if states[-1] == "retry_wait":
            with writing(engine) as connection:
                connection.execute(text("UPDATE job SET run_at = 0"))
    assert states == ["retry_wait", "retry_wait", "failed"]
    failure = submissions.get(job_id)["failure"]
    assert (failure["code"], failure["where"], failure["attempt"]) == ("WORKER_LOST", "fit", 3)


def test_a_given_back_job_has_lost_no_attempt(submissions, leases):
    job_id = submit(submissions)
    first = leases.claim()
    leases.give_back(first)
    second = leases.claim()
    assert (first.attempt, second.attempt) == (1, 1)
    assert second.epoch > first.epoch
    assert kinds(submissions, job_id)[-2:] == ["job.given_back", "job.running"]
    with pytest.raises(LeaseLost):
        leases.renew(first)


def test_a_zombie_can_write_nothing(submissions, engine):
    short, other = Leases(engine, "short", lease_s=0.01), Leases(engine, "other")
    short.beat()
    job_id = submit(submissions)
    old = short.claim()
    time.sleep(0.03)
    assert submissions.figures()["leases_expired"] == 1
    assert other.sweep() == 1
    new = other.claim()
    assert (new.attempt, new.job_id) == (1, job_id)  # the death of a machine is no failure of the job
    assert new.epoch > old.epoch
    writes = [
        lambda: short.renew(old),
        lambda: short.progress(old, "stage.started", {"stage": "x"}),
        lambda: short.committing(old),
        lambda: short.succeed(old, {}, []),
        lambda: short.fail(old, WorkerLost()),
        lambda: short.cancelled(old),
        lambda: short.give_back(old),
    ]
    before = submissions.get(job_id)
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    assert submissions.get(job_id) == before
    assert submissions.figures()["fenced_writes_total"] == len(writes)


def test_cancel_in_each_state(submissions, leases, engine):
    queued = submit(submissions)
    assert submissions.cancel(queued)["state"] == "cancelled"
    assert kinds(submissions, queued) == ["job.queued", "job.cancelled"]

    running = submit(submissions)
    claim = leases.claim()
    assert submissions.cancel(running)["state"] == "cancelling"
    assert submissions.cancel(running)["state"] == "cancelling"
    assert leases.renew(claim) is True
    leases.cancelled(claim)
    assert submissions.get(running)["state"] == "cancelled"

    committing = submit(submissions)
    claim = leases.claim()
    leases.committing(claim)
    submissions.cancel(committing)
    with pytest.raises(Cancelled):
        leases.succeed(claim, {}, [StoredFile(job_id=committing, path="a", sha256="a", size_bytes=1, stored="a")])
    leases.cancelled(claim)
    assert submissions.artifacts(committing) == []

    failing = submit(submissions)
    claim = leases.claim()
    submissions.cancel(failing)
    assert leases.fail(claim, WorkerLost()) == "cancelled"

    waiting = submit(submissions)
    leases.fail(leases.claim(), WorkerLost())
    assert submissions.cancel(waiting)["state"] == "cancelled"
    assert submissions.cancel("unknown") is None

    silent = submit(submissions)
    Leases(engine, "gone", lease_s=-1.0).claim()
    submissions.cancel(silent)
    leases.sweep()
    assert submissions.get(silent)["state"] == "cancelled"


def test_a_job_does_not_wait_for_ever(submissions, engine):
    job_id = submit(submissions)
    assert Leases(engine, "late", queue_limit_s=-1.0).sweep() == 1
    job = submissions.get(job_id)
    assert (job["state"], job["failure"]["code"]) == ("failed", "QUEUE_TIMEOUT")
