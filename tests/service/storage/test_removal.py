"""Jobs that are deleted: whole, only when nothing needs them, with a line of the audit, and their files collected."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from recon.errors import InputLost
from service.client import Client
from service.executor import Executor
from service.ledger import tables
from service.ledger.database import reading, writing
from service.ledger.datasets import Datasets, add_snapshot
from service.ledger.submissions import StoredFile
from service.settings import Settings
from service.storage.audit import Audit
from service.storage.collector import Age, Collector
from service.storage.removal import MOST_AT_ONCE, MOST_BATCHES, JobInUse, JobOpen, Removals, ended
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool

counter = itertools.count()
DAY_S = 86400.0


def probe(**fields):
    return ProbeJob(probe=ProbeConfig(salt=f"removal {next(counter)}"), **fields)


@pytest.fixture
def removals(engine):
    return Removals(engine)


@pytest.fixture
def cancelled(submissions):
    """Return the id of a new job that ended."""

    def one(**options):
        job_id = submissions.submit(probe(), **options).job["id"]
        submissions.cancel(job_id)
        return job_id

    return one


@pytest.fixture
def succeeded(submissions, leases):
    """Return the id of a new job that succeeded with a file."""

    def one(stored="store/objects/second/a/result.txt"):
        job_id = submissions.submit(probe()).job["id"]
        claim = leases.claim()
        assert claim.job_id == job_id
        leases.committing(claim)
        file = StoredFile(job_id=job_id, path="result.txt", sha256="ab", size_bytes=3, stored=stored)
        leases.succeed(claim, {}, [file])
        return job_id

    return one


def rows_of(engine, job_id):
    """Return which tables still hold something of a job."""
    with reading(engine) as connection:
        found = set()
        for table in tables.metadata.sorted_tables:
            for column in table.c:
                if column.name in ("job_id", "input_id") or (table.name == "job" and column.name == "id"):
                    count = select(func.count()).select_from(table).where(column == job_id)
                    found |= {table.name} if connection.execute(count).scalar_one() else set()
        return found


def test_a_job_goes_whole_and_a_line_stays(engine, submissions, removals, succeeded, cancelled):
    other, job_id = succeeded(), succeeded()
    keyed = cancelled(key="k", tenant="acme")
    assert rows_of(engine, job_id) == {"job", "event", "attempt", "artifact"}
    assert removals.delete(job_id, actor="operator")
    assert removals.delete(keyed, actor="0123")
    assert not removals.delete(job_id, actor="operator")
    assert (rows_of(engine, job_id), rows_of(engine, keyed)) == (set(), set())
    assert submissions.get(job_id) is None
    assert submissions.artifact(sha256="ab").job_id == other
    lines, following = Audit(engine).page(None)
    assert following is None
    assert [(line["action"], line["subject"], line["actor"], line["tenant"]) for line in lines] == [
        ("job.deleted", keyed, "0123", "acme"),
        ("job.deleted", job_id, "operator", ""),
    ]
    assert (lines[1]["detail"]["kind"], lines[1]["detail"]["state"]) == ("probe", "succeeded")
    assert [line["subject"] for line in Audit(engine).page("acme")[0]] == [keyed]
    _, following = Audit(engine).page(None, limit=1)
    assert [line["subject"] for line in Audit(engine).page(None, before=following)[0]] == [job_id]


def test_a_key_of_a_deleted_job_makes_a_new_one(submissions, removals, cancelled):
    removals.delete(cancelled(key="k"), actor="operator")
    assert not submissions.submit(probe(), key="k").existed


def test_a_job_that_has_not_ended_stays(submissions, leases, removals):
    job_id = submissions.submit(probe()).job["id"]
    with pytest.raises(JobOpen, match="queued"):
        removals.delete(job_id, actor="operator")
    leases.claim()
    submissions.cancel(job_id)
    with pytest.raises(JobOpen, match="cancelling"):
        removals.delete(job_id, actor="operator")
    assert submissions.get(job_id)["state"] == "cancelling"


def test_an_input_of_an_open_job_stays_until_that_has_ended(engine, submissions, removals, succeeded):
    first = succeeded()
    second = submissions.submit(probe()).job["id"]
    behind = submissions.submit(probe(after=(first, second))).job["id"]
    with pytest.raises(JobInUse):
        removals.delete(first, actor="operator")
    submissions.cancel(behind)
    assert removals.delete(first, actor="operator")
    assert rows_of(engine, behind) == {"job", "event", "job_input"}  # the other input
    with pytest.raises(InputLost):
        submissions.submit(probe(after=(first,)))


def test_a_snapshot_stays(engine, removals, succeeded):
    job_id = succeeded()
    with writing(engine) as connection:
        job = connection.execute(select(tables.job).where(tables.job.c.id == job_id)).one()
        add_snapshot(connection, job, 1e9, {"dataset": "city", "splits": {}, "sha256": "ab"}, "")
    with pytest.raises(JobInUse):
        removals.delete(job_id, actor="operator")
    age(engine, 100)
    assert Removals(engine, retain_days=10).sweep() == 0
    assert Datasets(engine).snapshot("city", 1).job_id == job_id


def age(engine, days):
    """Let everything in the ledger be older. The trigger that keeps jobs that ended as they are must not notice."""
    with writing(engine) as connection:
        if connection.dialect.name == "sqlite":
            sql = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'job_is_final'")).scalar_one()
            connection.execute(text("DROP TRIGGER job_is_final"))
            connection.execute(text(f"UPDATE job SET updated_at = updated_at - {days * DAY_S}"))
            connection.execute(text(sql))
        else:
            connection.execute(text("ALTER TABLE job DISABLE TRIGGER job_is_final"))
            connection.execute(text(f"UPDATE job SET updated_at = updated_at - {days * DAY_S}"))
            connection.execute(text("ALTER TABLE job ENABLE TRIGGER job_is_final"))


def test_old_jobs_go_and_open_ones_stay(engine, submissions, cancelled, succeeded):
    old = [cancelled() for _ in range(2)]
    needed, other = succeeded(), submissions.submit(probe()).job["id"]
    behind = submissions.submit(probe(after=(needed, other))).job["id"]
    age(engine, 20)
    fresh = cancelled()
    assert Removals(engine, retain_days=0).sweep() == 0
    assert Removals(engine, retain_days=30).sweep() == 0
    assert Removals(engine, retain_days=10).sweep() == 2
    assert [submissions.get(job_id) for job_id in old] == [None, None]
    assert all(submissions.get(job_id) for job_id in (needed, other, behind, fresh))
    assert {line["actor"] for line in Audit(engine).page(None)[0]} == {"retention"}


@pytest.mark.slow
def test_a_sweep_is_bounded_and_several_may_sweep(engine, submissions, cancelled):
    most = MOST_AT_ONCE * MOST_BATCHES
    for _ in range(most + 10):
        cancelled()
    age(engine, 20)
    assert Removals(engine, retain_days=10).sweep() == most
    for _ in range(20):
        cancelled()
    age(engine, 20)
    start = threading.Barrier(2)

    def sweep(_):
        start.wait()
        return Removals(engine, retain_days=10).sweep()

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(sweep, range(2)))
    counts.append(Removals(engine, retain_days=10).sweep())  # what one passed over while the other held it
    assert sum(counts) == 30
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(tables.audit)).scalar_one() == most + 30


def test_a_clock_that_was_set_deletes_nothing(engine, cancelled, monkeypatch):
    cancelled()
    removals = Removals(engine, retain_days=10)
    assert removals.sweep() == 0
    genuine = removals._guard._last
    removals._guard._last = (genuine[0], genuine[1] - 400 * DAY_S, genuine[2])  # as if it were set ahead since
    age(engine, 20)
    assert [removals.sweep() for _ in range(3)] == [0, 0, 0]
    assert Removals(engine, retain_days=10).sweep() == 1  # a new process


def test_a_job_comes_that_needs_one_that_is_deleted(engine, submissions, removals, succeeded):
    """One of both loses, and no job is left with an input that is gone."""
    for _ in range(5):
        job_id, start = succeeded(), threading.Barrier(2)

        def submit(job_id=job_id, start=start):
            start.wait()
            try:
                return submissions.submit(probe(after=(job_id,))).job["id"]
            except InputLost:
                return None

        def remove(job_id=job_id, start=start):
            start.wait()
            try:
                return removals.delete(job_id, actor="operator")
            except JobInUse:
                return False

        with ThreadPoolExecutor(2) as pool:
            behind, removed = pool.submit(submit), pool.submit(remove)
        assert bool(behind.result()) != removed.result()
        if behind.result():
            submissions.cancel(behind.result())


@pytest.mark.slow
def test_files_of_a_deleted_job_are_collected_unless_another_has_them(tmp_path, engine, submissions, leases, removals):
    settings = Settings(home=tmp_path, min_free_mb=0)
    pool = LocalPool()

    def run():
        job_id = submissions.submit(ProbeJob(probe=ProbeConfig(size=1000))).job["id"]
        Executor(settings, [pool], leases).slots[0].run(leases.claim())
        assert submissions.get(job_id)["state"] == "succeeded"
        return job_id

    def collect(days):
        collector = Collector(tmp_path, engine, Age())
        collector._now = time.time() + days * DAY_S
        return {(one.action, one.what.split("-")[0]) for one in collector.collect(dry_run=False)}

    one, same = run(), run()
    pool.close()
    removals.delete(one, actor="operator")
    assert ("condemn", "second") not in collect(20)
    assert submissions.artifacts(same)
    removals.delete(same, actor="operator")
    assert ("condemn", "second") in collect(20)  # the ledger has no job, and yet is that of this store
    assert ("delete", "second") in collect(40)
    assert not list((tmp_path / "store" / "objects" / "second").glob("*"))


@pytest.mark.slow
def test_a_running_service_deletes_what_is_old(start_service, tmp_path, body):
    service = start_service(tmp_path, executor="none", ROADSCRIBE_RETAIN_DAYS=str(1 / DAY_S))
    try:
        with Client(service.url) as client:
            waiting, job_id = (client.submit(body())["id"] for _ in range(2))
            client.cancel(job_id)
            deadline = time.monotonic() + 60
            while job_id in [job["id"] for job in client.jobs()["jobs"]]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert [job["id"] for job in client.jobs()["jobs"]] == [waiting]
            (line,) = client._http.get("/v1/audit").json()["lines"]
            assert (line["subject"], line["actor"]) == (job_id, "retention")
    finally:
        service.stop()


@pytest.mark.slow
def test_old_jobs_are_found_by_an_index(engine):
    row = {"kind": "probe", "spec": "{}", "natural_key": "x", "state": "succeeded", "max_attempts": 3}
    times = {"run_at": 1.0, "created_at": 1.0}
    rows = [row | times | {"id": f"old {number}", "updated_at": 1e9 + number} for number in range(20_000)]
    with writing(engine) as connection:
        connection.execute(tables.job.insert(), rows)
        connection.execute(text("ANALYZE"))
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with reading(engine) as connection:
        query = text(explain + ended(connection).text)
        plan = "\n".join(str(found[-1]) for found in connection.execute(query, {"before": 2e9, "most": 50}))
    assert "job_ended" in plan, plan
