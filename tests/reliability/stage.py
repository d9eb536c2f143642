"""A running service under load, and what a scenario showed of it."""

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
from load import QUEUE, Load
from running_service import RunningService

from service.client import Client
from service.ledger.database import open_database
from service.ledger.submissions import Submissions

SETTLE_S = 600.0  # a busy machine is slow, which is no fault


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

    def __init__(self, service: RunningService, ledger: Ledger, load: Load, rng: random.Random, url: str) -> None:
        self.service, self.ledger, self.load, self.rng, self.url = service, ledger, load, rng, url

    @contextmanager
    def watching_health(self, outcome: Outcome) -> Iterator[None]:
        """Note how long the API took at most to say that it lives."""
        done, longest_s = threading.Event(), 0.0

        def watch() -> None:
            nonlocal longest_s
            with httpx.Client(base_url=self.service.url, trust_env=False, timeout=60) as http:
                while not done.wait(0.05):
                    started = time.monotonic()
                    http.get("/healthz").raise_for_status()
                    longest_s = max(longest_s, time.monotonic() - started)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            outcome.notes["/healthz at the longest, ms"] = longest_s * 1e3

    def until_work_goes_on(self, since: float, limit_s: float = 300.0) -> float:
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
    priority: int = 0,
    queue: int = QUEUE,
    longest_s: float = 0.4,
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
        options = {"priority": priority, "queue": queue, "longest_s": longest_s}
        load = Load(service.url, seed, clients=clients, flood=flood, **options)

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
            yield Stage(service, ledger, load, random.Random(seed), url)
            load.stop()
            if flood:
                for (job_id,) in ledger.rows("SELECT id FROM job WHERE state = 'queued'"):
                    Submissions(engine).cancel(job_id)
            ledger.settle(SETTLE_S)
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


def kill(find: Callable[[], psutil.Process | None]) -> float:
    """Kill a process as soon as it is there, and return when."""
    while True:
        with suppress(psutil.Error):
            process = find()
            if process is not None:
                process.kill()
                return time.time()
        time.sleep(0.02)
