"""Clients that submit small jobs without a pause, and repeat each submission under its key until it is acknowledged."""

from __future__ import annotations

import random
import threading
import time
import uuid

import httpx

QUEUE = 30  # jobs that may wait: more would only lengthen the end
PAUSE_S = 0.02  # between the requests of a client that floods


class Load:
    """Threads that submit until `stop`; `acknowledged` maps each key to the id of its job."""

    def __init__(
        self,
        url: str,
        seed: int,
        *,
        clients: int = 3,
        longest_s: float = 0.4,
        flood: bool = False,
        priority: int = 0,
        queue: int = QUEUE,
    ) -> None:
        self.acknowledged: dict[str, str] = {}
        self.renamed = 0  # keys that got another job when they were sent again
        self.refused: dict[int, int] = {}  # statuses other than 200, 202 and 503
        self._url, self._longest_s, self._priority = url, longest_s, priority
        self._stop = threading.Event()
        self._room = threading.Semaphore(10**6 if flood else queue)
        self._pause_s = PAUSE_S if flood else 0.0
        self._threads = [threading.Thread(target=self._submit, args=(n, seed + n)) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def ended(self, count: int) -> None:
        """Make room for as many new jobs."""
        for _ in range(count):
            self._room.release()

    def stop(self) -> None:
        """Wait until every key that was sent is acknowledged."""
        self._stop.set()
        self.ended(len(self._threads))
        for thread in self._threads:
            thread.join()

    def _submit(self, number: int, seed: int) -> None:
        rng = random.Random(seed)
        count = 0
        while True:
            self._room.acquire()
            if self._stop.is_set():
                return
            probe = {"seconds": rng.uniform(0.0, self._longest_s), "salt": uuid.uuid4().hex}
            self.send(f"{number}-{count}", {"kind": "probe", "probe": probe}, priority=self._priority)
            count += 1
            time.sleep(self._pause_s)

    def send(self, key: str, body: dict[str, object], *, priority: int = 0) -> str:
        """Send a job until it is acknowledged, and return its id."""
        path = f"/v1/jobs?priority={priority}"
        for _ in range(10_000):
            try:
                with httpx.Client(base_url=self._url, trust_env=False, timeout=10, verify=False) as http:
                    answer = http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if answer.status_code in (200, 202):
                job_id: str = answer.json()["id"]
                self.renamed += self.acknowledged.setdefault(key, job_id) != job_id
                return job_id
            if answer.status_code != 503:
                self.refused[answer.status_code] = self.refused.get(answer.status_code, 0) + 1
            time.sleep(0.05)
        raise RuntimeError(f"the service did not take {key}")
