"""What is killed, stopped and raced, and what must be true afterwards."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from audit import Ledger
from load import Load
from private_postgres import PrivatePostgres, why_not
from running_service import RunningService

from service.client import Client
from service.ledger.database import open_database
from service.ledger.submissions import Submissions

WORK = "'job.running', 'stage.started', 'stage.finished', 'job.succeeded'"


@dataclass
class Outcome:
    """What a scenario showed; `faults` must all be 0."""

    name: str
    count: int
    jobs: int = 0
    seconds: float = 0.0
    recovery_s: list[float] = field(default_factory=list)
    limit_s: float = 15.0  # for the work to go on
    faults: dict[str, int] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Return whether all went as it must."""
        return not any(self.faults.values()) and max(self.recovery_s, default=0.0) <= self.limit_s


class Stage:
    """A running service with its ledger and its load."""

    def __init__(self, service: RunningService, ledger: Ledger, load: Load, rng: random.Random) -> None:
        self.service, self.ledger, self.load, self.rng = service, ledger, load, rng

    def until_work_goes_on(self, since: float, limit_s: float = 120.0) -> float:
        """Return how long after `since`, seconds since 1970, an executor took a job."""
        while (at := self.ledger.last("'job.running'")) <= since:
            if time.time() - since > limit_s:
                return float("inf")
            time.sleep(0.05)
        return at - since


@contextmanager
def on_stage(
    outcome: Outcome,
    seed: int,
    *,
    executor: str = "local",
    url: str = "",
    clients: int = 3,
    flood: bool = False,
    **settings: str,
) -> Iterator[Stage]:
    """Run a service under load; afterwards settle it and count its faults into `outcome`.

    Clients that `flood` never wait for jobs to end; what is still queued afterwards is cancelled.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        home = Path(folder)
        if url:
            settings["ROADSCRIBE_DATABASE_URL"] = url
        service = RunningService(home, executor=executor, **{"ROADSCRIBE_LEASE_S": "10", **settings})
        engine = open_database(url or f"sqlite:///{home / 'ledger.sqlite3'}")
        ledger, done = Ledger(engine), threading.Event()
        load = Load(service.url, seed, clients=clients, flood=flood)

        def refill() -> None:
            before = 0
            while not done.wait(0.2):
                now = ledger.ended()
                load.ended(now - before)
                before = now

        refiller = threading.Thread(target=refill)
        refiller.start()
        try:
            with Client(service.url) as client:
                while not client.ready():
                    time.sleep(0.1)
            yield Stage(service, ledger, load, random.Random(seed))
            load.stop()
            if flood:
                for (job_id,) in ledger.rows("SELECT id FROM job WHERE state = 'queued'"):
                    Submissions(engine).cancel(job_id)
            ledger.settle(120.0)
            outcome.jobs = len(load.acknowledged)
            outcome.faults |= ledger.faults(home, load.acknowledged, may_be_cancelled=flood)
            outcome.faults |= {"keys renamed": load.renamed, "undue answers": sum(load.refused.values())}
        finally:
            done.set()
            refiller.join()
            load.stop()
            with suppress(ProcessLookupError, psutil.Error):
                service.stop()
            engine.dispose()
            outcome.seconds = time.monotonic() - started


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
            killed = _kill(stage.service.executor)
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
                killed = _kill(lambda name=name: _of_ray(stage.service, name))
                outcome.recovery_s.append(stage.until_work_goes_on(killed))
    # A worker may die of its stage: its death counts as a failure, and is tried again.
    outcome.notes["attempts spent on workers"] = outcome.faults.pop("attempts spent")
    return outcome


def kill_postgres(count: int, seed: int) -> Outcome:
    """Let the database server crash, and kill its backends meanwhile."""
    outcome = Outcome("PostgreSQL crashed", count)
    if why_not():
        outcome.name += f" (skipped: {why_not()})"
        return outcome
    server = PrivatePostgres()
    try:
        with on_stage(outcome, seed, url=server.new_database()) as stage:
            for _ in range(count):
                for _ in range(5):
                    time.sleep(stage.rng.uniform(0.05, 0.5))
                    outcome.notes["backends killed"] = outcome.notes.get("backends killed", 0) + _kill_backends(server)
                server.crash()
                outcome.recovery_s.append(stage.until_work_goes_on(time.time()))
    finally:
        server.stop()
    return outcome


def stall(count: int, seed: int) -> Outcome:
    """Stop an executor and its workers past their leases, while another one takes their jobs; then wake them up."""
    outcome = Outcome("stalls past a lease", count)
    with on_stage(outcome, seed, ROADSCRIBE_LEASE_S="2", ROADSCRIBE_JOBS_AT_ONCE="1") as stage:
        second = stage.service.start_executor()
        for _ in range(count):
            time.sleep(stage.rng.uniform(0.2, 1.0))
            frozen = [stage.service.executor(), *stage.service.workers()]
            stage.service.suspend_between_writes(frozen[0])
            for process in frozen[1:]:
                process.suspend()
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
    return outcome


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
        stage.ledger.settle(60.0)
        outcome.recovery_s.append(time.monotonic() - stopped)
        found = stage.ledger.faults(stage.service.home, ids, may_be_cancelled=True)
        states = [client.job(job_id)["state"] for job_id in ids.values()]
        outcome.notes = {"cancelled": states.count("cancelled"), "succeeded": states.count("succeeded")}
    outcome.jobs, outcome.faults = len(ids), found
    return outcome


SCENARIOS: dict[str, tuple[Callable[[int, int], Outcome], int]] = {
    "api": (kill_api, 100),
    "executor": (kill_executor, 60),
    "ray": (kill_ray, 10),
    "postgres": (kill_postgres, 8),
    "stall": (stall, 10),
    "cancel": (race_cancels, 300),
}


def _kill(find: Callable[[], psutil.Process | None]) -> float:
    """Kill a process as soon as it is there, and return when."""
    while True:
        with suppress(psutil.Error):
            process = find()
            if process is not None:
                process.kill()
                return time.time()
        time.sleep(0.02)


def _of_ray(service: RunningService, name: str) -> psutil.Process | None:
    found = [p for p in psutil.Process(service.process.pid).children(recursive=True) if p.name().startswith(name)]
    busy = [p for p in found if "IDLE" not in p.name()]
    return busy[0] if busy else None


def _kill_backends(server: PrivatePostgres) -> int:
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'test%%'"
    with server._connect() as connection:
        return int(connection.execute(query).fetchone()[0])
