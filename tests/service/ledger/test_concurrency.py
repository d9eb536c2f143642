"""Many writers at once on one ledger: every job is taken once, ends once, and its events have no gaps."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

from recon.errors import Cancelled, StorageError, WorkerLost
from service.ledger import blocked_jobs, migrations
from service.ledger.database import migrate, open_database, reading, writing
from service.ledger.leases import LeaseLost, Leases
from service.ledger.submissions import Submissions, new_id
from workers.jobs.probe import ProbeConfig, ProbeJob

SCRIPTS = Path(migrations.__file__).parent / "versions"


def probe(*after):
    return ProbeJob(probe=ProbeConfig(salt=new_id()), after=after)


def at_once(*functions):
    """Call the functions in threads that start together; return what each returned or raised."""
    start = threading.Barrier(len(functions))

    def call(function):
        start.wait()
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(call, functions))


def check_events(submissions, job_id):
    events = submissions.events(job_id)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    kinds = [e["type"] for e in events]
    assert sum(kind in ("job.succeeded", "job.failed", "job.cancelled") for kind in kinds) <= 1
    return kinds


def test_every_job_is_taken_once(submissions, engine):
    ids = [submissions.submit(probe()).job["id"] for _ in range(12)]

    def take(name):
        leases, taken = Leases(engine, name), []
        while (claim := leases.claim()) is not None:
            taken.append(claim.job_id)
        return taken

    taken = at_once(*(lambda n=n: take(f"executor {n}") for n in range(4)))
    assert Counter(job_id for some in taken for job_id in some) == Counter(ids)


def test_the_same_submission_at_once_is_one_job(submissions):
    keyed, deduped = probe(), probe()
    jobs = at_once(*[lambda: submissions.submit(keyed, key="one")] * 4)
    assert len({one.job["id"] for one in jobs}) == 1
    assert sum(not one.existed for one in jobs) == 1
    jobs = at_once(*[lambda: submissions.submit(deduped, dedupe=True)] * 4)
    assert len({one.job["id"] for one in jobs}) == 1


def test_two_sweepers_move_a_job_once(submissions, engine):
    source = submissions.submit(probe()).job["id"]
    blocked = [submissions.submit(probe(source)).job["id"] for _ in range(4)]
    Leases(engine, "gone", lease_s=-1.0).claim()
    sweepers = [Leases(engine, f"sweeper {n}").sweep for n in range(4)]
    assert at_once(*sweepers).count(1) == 1
    assert check_events(submissions, source) == ["job.queued", "job.running", "job.queued"]
    submissions.cancel(source)
    assert sum(at_once(*sweepers)) == 4
    for job_id in blocked:
        assert check_events(submissions, job_id) == ["job.blocked", "job.failed"]


def test_a_sweeper_sees_all_inputs_of_a_job_or_leaves_it(submissions, leases, engine):
    """On PostgreSQL a query that locked and joined saw some inputs only, while another sweeper wrote progress."""
    rounds, count = (10, 5) if engine.dialect.name == "sqlite" else (1000, 40)
    ids = [submissions.submit(probe()).job["id"] for _ in range(count)]
    job_id = submissions.submit(probe(*ids)).job["id"]
    for _ in ids[1:]:
        claim = leases.claim()
        leases.committing(claim)
        leases.succeed(claim, {}, [])
    leases.sweep()
    running = submissions.get(job_id)["progress"]
    assert running["done"] == count - 1
    done = threading.Event()

    def write_progress():
        while not done.is_set():
            with writing(engine) as connection:
                connection.execute(text("UPDATE job SET version = version + 1 WHERE id = :id"), {"id": job_id})

    def sweep():
        try:
            for _ in range(rounds):
                with writing(engine) as connection:
                    assert blocked_jobs.settle(connection, [job_id], 1e9) == 0
        finally:
            done.set()

    assert at_once(write_progress, sweep) == [None, None]
    assert (submissions.get(job_id)["state"], submissions.get(job_id)["progress"]) == ("blocked", running)


def test_what_was_due_a_moment_ago_is_looked_at_again(submissions, leases, engine):
    source = submissions.submit(probe()).job["id"]
    job_id = submissions.submit(probe(source)).job["id"]
    submissions.cancel(source)
    with reading(engine) as connection:
        due = blocked_jobs.due(connection, 1e9)
    assert due == [job_id]
    assert leases.sweep() == 1
    with writing(engine) as connection:
        assert blocked_jobs.settle(connection, due, 1e9) == 0
    assert check_events(submissions, job_id) == ["job.blocked", "job.failed"]


@pytest.mark.parametrize("ends", ["succeed", "fail", "give_back"])
def test_a_cancellation_and_an_ending_at_once_agree(submissions, leases, ends):
    for _ in range(5):
        job_id = submissions.submit(probe()).job["id"]
        claim = leases.claim()
        leases.committing(claim)
        end = {
            "succeed": lambda claim=claim: leases.succeed(claim, {}, []),
            "fail": lambda claim=claim: leases.fail(claim, WorkerLost()),
            "give_back": lambda claim=claim: leases.give_back(claim),
        }[ends]
        outcome, seen = at_once(end, lambda job_id=job_id: submissions.cancel(job_id))
        assert outcome is None or isinstance(outcome, str | Cancelled), outcome
        if isinstance(outcome, Cancelled):
            leases.cancelled(claim)
        state = submissions.get(job_id)["state"]
        assert state in ("succeeded", "cancelled"), (outcome, seen)
        assert check_events(submissions, job_id)[-1] == f"job.{state}"
        with pytest.raises(LeaseLost):
            leases.renew(claim)


def test_processes_may_migrate_at_once(tmp_path, database_url):
    engines = [open_database(database_url) for _ in range(3)]
    # Each with a home of its own, as on several machines: there the lock on a file helps nobody.
    homes = [tmp_path / str(n) for n in range(3)]
    results = at_once(*(lambda e=e, h=h: migrate(e, h) for e, h in zip(engines, homes, strict=True)))
    assert results == [None] * 3
    with writing(engines[0]) as connection:
        versions = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    assert versions == [max(path.name[1:5] for path in SCRIPTS.glob("m[0-9]*.py"))]
    assert Submissions(engines[0]).submit(probe()).job["state"] == "queued"
    for engine in engines:
        engine.dispose()


def test_a_new_file_is_opened_by_many_at_once(tmp_path):
    def work(engine):
        with writing(engine) as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS probe (x INTEGER)"))

    for n in range(15):  # about one in a hundred failed: turning to WAL waited for nobody
        engines = [open_database(f"sqlite:///{tmp_path}/{n}.db") for _ in range(6)]
        assert at_once(*(lambda e=e: work(e) for e in engines)) == [None] * 6
        for engine in engines:
            engine.dispose()


def test_a_pool_without_a_free_connection_is_a_busy_ledger(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with reading(engine), pytest.raises(StorageError, match="busy"), reading(engine):
        pass
    engine.dispose()
