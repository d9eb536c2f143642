"""Processes are killed for real; afterwards every acknowledged job ends, once."""

import random
import sqlite3
import threading
import time

import httpx
import psutil
import pytest

from recon.errors import InfrastructureError
from service.client import Client
from service.ledger.database import open_database, reading
from service.ledger.leases import LeaseLost
from service.ledger.tables import TERMINAL, artifact, attempt

SEED = 20260815


def settle(client, ids, limit_s=90):
    deadline = time.monotonic() + limit_s
    jobs = [client.job(job_id, wait_s=max(0.0, min(60.0, deadline - time.monotonic()))) for job_id in ids]
    assert all(job["state"] in TERMINAL for job in jobs), [(job["state"], job["attempt"]) for job in jobs]
    return jobs


@pytest.fixture
def own_service(tmp_path, start_service):
    service = start_service(tmp_path, ROADSCRIBE_MAX_ATTEMPTS="20")
    yield service
    service.stop()


@pytest.mark.slow
def test_a_killed_executor_is_replaced_and_its_job_continues(own_service, body):
    rng = random.Random(SEED)
    with Client(own_service.url) as client:
        ids = [client.submit(body(seconds=1.0))["id"] for _ in range(3)]
        killed = 0
        while killed < 5:
            time.sleep(rng.uniform(0.5, 1.5))
            executor = own_service.executor()
            if executor is not None:
                workers = own_service.workers()
                executor.kill()
                killed += 1
                _, alive = psutil.wait_procs(workers, timeout=5)
                assert not alive  # no worker outlives the one who would use its result
        jobs = settle(client, ids)
        assert [job["state"] for job in jobs] == ["succeeded"] * 3
        assert all(job["attempt"] <= killed + 1 for job in jobs)
        for job in jobs:
            kinds = [e["type"] for e in client._http.get(f"/v1/jobs/{job['id']}/events").json()["events"]]
            assert kinds.count("job.succeeded") == 1
            assert kinds.count("stage.finished") + kinds.count("stage.skipped") >= 2


@pytest.mark.slow
def test_deaths_of_the_executor_cost_seconds_and_no_attempt(tmp_path, start_service, body):
    """With the lease and the attempts of the default settings."""
    service = start_service(tmp_path, ROADSCRIBE_LEASE_S="30")
    with Client(service.url) as client:
        job_id = client.submit(body(seconds=3.0))["id"]
        for _ in range(4):
            while client.job(job_id)["stage"] != "first":
                time.sleep(0.05)
            service.executor().kill()
            killed = time.monotonic()
            while client.job(job_id)["state"] == "running":
                assert time.monotonic() - killed < 5.0  # what was running is known to be dead
                time.sleep(0.05)
            while client.job(job_id)["state"] != "running":
                assert time.monotonic() - killed < 20.0
                time.sleep(0.05)
            while client.job(job_id)["progress"].get("done", 99) > 98:
                time.sleep(0.05)
        job = settle(client, [job_id])[0]
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert service.stop() == 0


@pytest.mark.slow
def test_two_executors_make_a_shared_stage_once(own_service, body, tmp_path):
    """The second job waits as long as it takes, which no limit counts: here the limit of a stage is shorter."""
    second = own_service.start_executor(ROADSCRIBE_STAGE_LIMIT_S="4", ROADSCRIBE_JOBS_AT_ONCE="1")
    shared = body(seconds=3.0)
    with Client(own_service.url) as client:
        ids = [client.submit(shared)["id"] for _ in range(4)]
        jobs = settle(client, ids)
        assert [(job["state"], job["attempt"]) for job in jobs] == [("succeeded", 1)] * 4
        kinds = [[e["type"] for e in client._http.get(f"/v1/jobs/{i}/events").json()["events"]] for i in ids]
        finished = [one.count("stage.finished") for one in kinds]
        assert sorted(finished) == [0, 0, 0, 2], kinds
        waited = [one for one in kinds if "stage.waiting" in one]
        assert waited
        owners = set(database_rows(own_service, "SELECT DISTINCT owner FROM attempt"))
        assert len(owners) == 2
    second.terminate()
    assert second.wait(20) == 0


@pytest.mark.slow
def test_a_frozen_worker_keeps_nothing_beyond_its_lease(own_service, body):
    """Executor and worker are stopped in the middle of a stage, as on a machine that hangs, and wake up at its end."""
    with Client(own_service.url) as client:
        job_id = client.submit(body(seconds=2.0))["id"]
        while client.job(job_id)["stage"] != "first":
            time.sleep(0.02)
        frozen = [own_service.executor(), *own_service.workers()]
        own_service.suspend_between_writes(frozen[0])
        for process in frozen[1:]:
            process.suspend()
        second = own_service.start_executor()
        job = settle(client, [job_id], limit_s=40)[0]
        assert (job["state"], job["attempt"], job["losses"]) == ("succeeded", 1, 0)
        for process in frozen:
            process.resume()
        time.sleep(2.0)
        assert client.job(job_id) == job
        assert settle(client, [client.submit(body())["id"]])[0]["state"] == "succeeded"
        fenced = database_rows(own_service, "SELECT sum(fenced) FROM heartbeat")[0]
        assert fenced[0] >= 1
    second.terminate()
    assert second.wait(20) == 0


def database_rows(service, query):
    with sqlite3.connect(f"file:{service.home / 'ledger.sqlite3'}?mode=ro", uri=True, timeout=10) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.slow
def test_a_killed_api_loses_no_acknowledged_job(own_service, body):
    rng, acknowledged, keys, stop = random.Random(SEED), {}, {}, threading.Event()

    def submitter(number):
        count = 0
        while not stop.is_set():
            key = f"{number}-{count}"
            keys[key] = keys.get(key) or body()
            try:
                with httpx.Client(base_url=own_service.url, trust_env=False, timeout=5) as http:
                    answer = http.post("/v1/jobs", json=keys[key], headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            assert answer.status_code in (200, 202), answer.text
            acknowledged.setdefault(key, answer.json()["id"])
            count += 1
            time.sleep(0.02)

    threads = [threading.Thread(target=submitter, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        time.sleep(rng.uniform(0.1, 0.6))
        executor = own_service.executor()
        own_service.process.kill()
        own_service.process.wait()
        own_service.process.stdout.close()
        own_service.start(own_service.port)
        if executor is not None:
            executor.wait(15)  # it ends by itself when its supervisor is gone
    stop.set()
    for thread in threads:
        thread.join()
    assert len(acknowledged) > 10
    with Client(own_service.url) as client:
        for key, job_id in acknowledged.items():
            assert client.submit(keys[key], key=key)["id"] == job_id
        assert all(client.job(job_id)["state"] for job_id in acknowledged.values())
    assert len(set(acknowledged.values())) == len(acknowledged)


@pytest.mark.slow
def test_a_stopped_service_gives_its_job_back(tmp_path, start_service, body):
    service = start_service(tmp_path)
    with Client(service.url) as client:
        job = client.submit(body(seconds=3.0))
        while client.job(job["id"])["stage"] != "first":
            time.sleep(0.05)
    assert service.stop() == 0
    service.start()
    with Client(service.url) as client:
        done = settle(client, [job["id"]])[0]
        assert (done["state"], done["attempt"]) == ("succeeded", 1)
    service.stop()


@pytest.mark.slow
def test_a_sleeping_executor_wakes_up_too_late(own_service, body):
    """SIGSTOP past the lease, let another attempt take over, SIGCONT: the late commit must be refused."""
    from service.ledger.leases import Leases
    from service.ledger.submissions import StoredFile

    engine = open_database(f"sqlite:///{own_service.home / 'ledger.sqlite3'}")
    with Client(own_service.url) as client:
        job_id = client.submit(body(seconds=1.0))["id"]
        while client.job(job_id)["state"] != "running":
            time.sleep(0.02)
        executor = own_service.executor()
        own_service.suspend_between_writes(executor)
        time.sleep(2.5)  # the lease is 2 s
        other = Leases(engine, "other")
        other.beat()
        other.sweep()
        while (claim := other.claim()) is None:
            time.sleep(0.2)
        assert claim.job_id == job_id
        executor.resume()
        time.sleep(2.0)  # it finds its lease gone, or tries to commit: both are refused
        assert client.job(job_id)["state"] == "running"
        other.committing(claim)
        file = StoredFile(job_id=job_id, path="a", sha256="0" * 64, size_bytes=0, stored="a")
        other.succeed(claim, {"by": "other"}, [file])
        with pytest.raises(LeaseLost):
            other.renew(claim)
        job = settle(client, [job_id])[0]
        assert job["report"] == {"by": "other"}
        assert [a["path"] for a in client.artifacts(job_id)] == ["a"]
        assert settle(client, [client.submit(body())["id"]])[0]["state"] == "succeeded"
    with reading(engine) as connection:
        assert len(connection.execute(artifact.select().where(artifact.c.job_id == job_id)).all()) == 1
        assert len(connection.execute(attempt.select().where(attempt.c.job_id == job_id)).all()) == 2
    engine.dispose()


def test_a_silent_service_is_named():
    with (
        Client("http://127.0.0.1:9", retries=(0.01,)) as client,
        pytest.raises(InfrastructureError, match=r"127\.0\.0\.1:9"),
    ):
        client.jobs()
