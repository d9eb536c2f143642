"""PostgreSQL under faults: connections run out, backends are killed, a session holds locks and does nothing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from private_postgres import PostgresPair
from sqlalchemy import text

from recon.errors import StorageError
from service.ledger.database import migrate, open_database, writing
from service.ledger.leases import LeaseLost, Leases
from service.ledger.submissions import Submissions, new_id
from service.ledger.tables import TERMINAL
from workers.jobs.probe import ProbeConfig, ProbeJob

pytestmark = pytest.mark.slow


@pytest.fixture
def url(postgres, tmp_path):
    url = postgres.new_database()
    engine = open_database(url)
    migrate(engine, tmp_path)
    engine.dispose()
    return url


@pytest.fixture
def engine(url):
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def pair(postgres):  # which skips where no server can be started
    pair = PostgresPair()
    yield pair
    pair.stop()


def probe():
    return ProbeJob(probe=ProbeConfig(salt=new_id()))


def patiently(call, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return call()
        except StorageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_requests_wait_while_all_connections_are_taken_and_go_on_after(url, submissions, engine):
    """Twice as many requests as connections, of which some are held for a second."""
    taken = [engine.connect() for _ in range(14)]
    with ThreadPoolExecutor(30) as pool:
        answers = [pool.submit(submissions.submit, probe()) for _ in range(30)]
        time.sleep(1.0)
        for connection in taken:
            connection.close()
        assert all(answer.result(30).job["state"] == "queued" for answer in answers)


def test_killed_backends_lose_no_job_and_double_none(url, postgres, engine):
    submissions, done = Submissions(engine), threading.Event()
    kills = [0]

    def kill():
        while not done.is_set():
            kills[0] += postgres.end_sessions()
            done.wait(0.15)

    def work(name):
        mine = open_database(url)
        leases, finished = Leases(mine, name), 0
        while not done.is_set():
            with suppress(LeaseLost, StorageError):
                claim = leases.claim()
                if claim is None:
                    time.sleep(0.02)
                    continue
                patiently(lambda claim=claim: leases.progress(claim, "stage.finished", {"stage": "first"}))
                patiently(lambda claim=claim: leases.committing(claim))
                patiently(lambda claim=claim: leases.succeed(claim, {"by": claim.epoch}, []))
                finished += 1
        mine.dispose()

    threads = [threading.Thread(target=kill), *(threading.Thread(target=work, args=(f"e{n}",)) for n in range(2))]
    for thread in threads:
        thread.start()
    ids = [patiently(lambda n=n: submissions.submit(probe(), key=str(n))).job["id"] for n in range(40)]
    assert len(set(ids)) == 40
    # A claim whose answer was lost has an owner that does not know of it: its lease runs out.
    sweeper = Leases(engine, "sweeper", lease_s=1.0)
    deadline = time.monotonic() + 60
    while True:
        jobs = [patiently(lambda i=i: submissions.get(i)) for i in ids]
        if all(job["state"] in TERMINAL for job in jobs):
            break
        assert time.monotonic() < deadline, [(j["state"], j["attempt"]) for j in jobs]
        with suppress(StorageError), writing(engine) as connection:
            late = "UPDATE job SET lease_until = 0 WHERE lease_until < extract(epoch FROM clock_timestamp()) + 27"
            connection.execute(text(f"{late} AND state IN ('running', 'committing')"))
        with suppress(StorageError):
            sweeper.sweep()
        time.sleep(0.5)
    done.set()
    for thread in threads:
        thread.join()
    assert kills[0] > 10
    assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    for job_id in ids:
        kinds = [event["type"] for event in patiently(lambda i=job_id: submissions.events(i))]
        assert kinds.count("job.succeeded") == 1


def test_a_session_that_holds_locks_and_sleeps_is_ended_while_others_still_wait(url, engine, submissions):
    """A process of ours that is frozen in the middle of a transaction: its locks must not outlive it."""
    job_id = submissions.submit(probe()).job["id"]
    frozen = open_database(url)
    with frozen.connect() as connection:
        connection.execute(text("SELECT * FROM job FOR UPDATE"))
        leases = Leases(engine, "one")
        assert leases.claim() is None
        assert submissions.cancel(job_id)["state"] == "cancelled"  # waits for the lock
        connection.invalidate()
    frozen.dispose()


def test_acknowledged_jobs_survive_the_death_of_the_server_that_writes(pair, tmp_path):
    """The copy takes over, and both engines and sessions that were open go on with it."""
    engine = open_database(pair.url)
    migrate(engine, tmp_path)
    submissions, leases, ids = Submissions(engine), Leases(engine, "one"), []
    done = threading.Event()

    def submit():
        while not done.is_set():
            ids.append(patiently(lambda: submissions.submit(probe(), key=str(len(ids)))).job["id"])

    with ThreadPoolExecutor() as pool:
        submitter = pool.submit(submit)
        for _ in range(2):
            time.sleep(0.5)
            before = len(ids)
            pair.fail_over()
            deadline = time.monotonic() + 20
            while len(ids) < before + 20:
                assert time.monotonic() < deadline, submitter.done()
                time.sleep(0.05)
            pair.repair()
        done.set()
        submitter.result(30)
    assert all(submissions.get(job_id) is not None for job_id in ids)
    assert len(set(ids)) == len(ids)
    assert patiently(leases.claim).job_id == ids[0]
    engine.dispose()


def test_a_session_that_the_server_ended_and_a_server_that_only_reads_are_errors_of_the_storage(engine):
    """The driver names both internal errors."""
    with pytest.raises(StorageError, match="idle"), writing(engine) as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        time.sleep(0.5)
        connection.execute(text("SELECT 1"))
    with pytest.raises(StorageError, match="read-only"), writing(engine) as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text("DELETE FROM job"))
    with writing(engine) as connection:  # the pool gives out sound sessions again
        connection.execute(text("DELETE FROM heartbeat"))
