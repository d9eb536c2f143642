"""What is killed, stopped and raced, and what must be true afterwards."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import psutil
from day import day
from postgres_faults import crash, end_backends, exhaust, fail_over, hold_locks
from queue_faults import starve, storm
from running_service import RunningService
from stage import SETTLE_S, Outcome, Stage, kill, on_stage

from service.client import Client


def kill_api(count: int, seed: int) -> Outcome:
    """Kill the API, which starts again on its port, between, during and after requests."""
    outcome = Outcome("API killed", count)
    with on_stage(outcome, seed, flood=True) as stage:
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.05, 0.6))
            stage.service.kill()
            killed = time.time()
            stage.service.start(stage.service.port)
            if stage.rng.random() < 0.2:  # most deaths follow before any work goes on
                outcome.recovery_s.append(stage.until_work_goes_on(killed))
    return outcome


def kill_executor(count: int, seed: int) -> Outcome:
    """Kill the executor wherever it is."""
    outcome = Outcome("executor killed", count)
    with on_stage(outcome, seed) as stage:
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.1, 2.0))
            killed = kill(stage.service.executor)
            outcome.recovery_s.append(stage.until_work_goes_on(killed))
    return outcome


def kill_ray(count: int, seed: int) -> Outcome:
    """Kill Ray's workers, a third as many raylets, and a fifth as many of its global control service."""
    parts = [("ray::", count), ("raylet", -(-count * 3 // 10)), ("gcs_server", -(-count // 5))]
    outcome = Outcome("Ray's processes killed", sum(many for _, many in parts), limit_s=30.0)
    with on_stage(outcome, seed, executor="ray") as stage:
        for name, many in parts:
            for _ in range(many):
                time.sleep(stage.rng.uniform(0.5, 2.0))
                killed = kill(lambda name=name: _of_ray(stage.service, name))
                outcome.recovery_s.append(stage.until_work_goes_on(killed))
    # A worker may die of its stage: its death counts as a failure, and is tried again.
    outcome.notes["attempts spent on workers"] = outcome.faults.pop("attempts spent")
    return outcome


def stall(count: int, seed: int) -> Outcome:
    """Stop an executor and its workers past their leases, while another one takes their jobs; then wake them up."""
    outcome = Outcome("stalls past a lease", count)
    with on_stage(outcome, seed, ROADSCRIBE_LEASE_S="2", ROADSCRIBE_JOBS_AT_ONCE="1") as stage:
        second = stage.service.start_executor()
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.2, 1.0))
            frozen = _freeze(stage)
            stopped = time.time()
            time.sleep(3.0)
            outcome.recovery_s.append(stage.until_work_goes_on(stopped))
            for process in frozen:
                with suppress(psutil.Error):
                    process.resume()
        second.terminate()
        second.wait(30)
        refused = stage.ledger.rows("SELECT coalesce(sum(fenced), 0) FROM heartbeat")[0][0]
        outcome.notes["late writes refused"] = float(refused)
    outcome.faults["late writes not refused"] = max(0, count - int(refused))
    return outcome


def _freeze(stage: Stage) -> list[psutil.Process]:
    """Stop the executor with its workers while it has a job, as two executors have that take one job at a time."""
    while True:
        executor = stage.service.executor()
        stage.service.suspend_between_writes(executor)
        if stage.ledger.rows("SELECT count(*) FROM job WHERE state = 'running'")[0][0] == 2:
            workers = stage.service.workers()
            for process in workers:
                process.suspend()
            return [executor, *workers]
        executor.resume()
        time.sleep(0.02)


def race_cancels(count: int, seed: int) -> Outcome:
    """Cancel jobs at any moment of their lives."""
    outcome = Outcome("cancel races", count)
    rng = random.Random(seed)
    with on_stage(outcome, seed, clients=0) as stage, Client(stage.service.url) as client:
        url, ids, waits = stage.service.url, {}, [rng.uniform(0.0, 2.5) for _ in range(count)]

        def race(numbers: range) -> None:
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
                for number in numbers:
                    body = {"kind": "probe", "probe": {"seconds": 0.05, "salt": f"{seed}-{number}"}}
                    ids[str(number)] = http.post("/v1/jobs", json=body).json()["id"]
                    time.sleep(waits[number])
                    http.post(f"/v1/jobs/{ids[str(number)]}/cancel")

        threads = [threading.Thread(target=race, args=(range(n, count, 3),)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stopped = time.monotonic()
        stage.ledger.settle(SETTLE_S)
        outcome.recovery_s.append(time.monotonic() - stopped)
        found = stage.ledger.faults(stage.service.home, ids, may_be_cancelled=True)
        states = [client.job(job_id)["state"] for job_id in ids.values()]
        outcome.notes = {"cancelled": states.count("cancelled"), "succeeded": states.count("succeeded")}
    outcome.jobs, outcome.faults = len(ids), found
    return outcome


def _of_ray(service: RunningService, name: str) -> psutil.Process | None:
    found = [p for p in psutil.Process(service.process.pid).children(recursive=True) if p.name().startswith(name)]
    busy = [p for p in found if "IDLE" not in p.name()]
    return busy[0] if busy else None


SCENARIOS: dict[str, tuple[Callable[[int, int], Outcome], int]] = {
    "api": (kill_api, 100),
    "executor": (kill_executor, 60),
    "ray": (kill_ray, 10),
    "postgres": (crash, 8),
    "stall": (stall, 10),
    "cancel": (race_cancels, 300),
    "storm": (storm, 60),
    "starve": (starve, 10),
    "pool": (exhaust, 6),
    "failover": (fail_over, 5),
    "backends": (end_backends, 100),
    "idle": (hold_locks, 3),
    "day": (day, 2000),
}
BY_NAME = ("day",)  # which takes as long as all others: it runs only where it is named
