"""What must hold in a ledger, whatever died: nothing lost, nothing doubled, every file whole, no attempt spent."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Engine, text

from recon.errors import StorageError
from service.ledger.database import reading
from service.ledger.tables import TERMINAL

ENDS = tuple(f"job.{state}" for state in TERMINAL)


class Ledger:
    """Reads a ledger as long as it takes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(self, query: str, **values: object) -> list[tuple]:
        """Return the rows of a query."""
        while True:
            try:
                with reading(self._engine) as connection:
                    return [tuple(row) for row in connection.execute(text(query), values)]
            except StorageError:
                time.sleep(0.05)

    def ended(self) -> int:
        """Return how many jobs have ended."""
        return int(self.rows("SELECT count(*) FROM job WHERE state IN ('succeeded', 'failed', 'cancelled')")[0][0])

    def last(self, kinds: str) -> float:
        """Return when an event of one of these kinds, a list in SQL, was last written."""
        return float(self.rows(f"SELECT coalesce(max(at), 0) FROM event WHERE type IN ({kinds})")[0][0])

    def began(self, job_id: str) -> float:
        """Return when an executor first took a job, or 0."""
        first = "SELECT coalesce(min(at), 0) FROM event WHERE job_id = :id AND type = 'job.running'"
        return float(self.rows(first, id=job_id)[0][0])

    def longest_pause(self, since: float) -> float:
        """Return the longest time between two successes from `since`, seconds since 1970, until now."""
        rows = self.rows("SELECT at FROM event WHERE type = 'job.succeeded' AND at >= :since ORDER BY at", since=since)
        times = [since, *(row[0] for row in rows), time.time()]
        return max(after - before for before, after in pairwise(times))

    def settle(self, limit_s: float) -> None:
        """Wait until every job has ended, or the time is over."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if not self.rows(f"SELECT 1 FROM job WHERE state NOT IN {TERMINAL} LIMIT 1"):
                return
            time.sleep(0.2)

    def faults(self, home: Path, keys: dict[str, str], *, may_be_cancelled: bool = False) -> dict[str, int]:
        """Count every way in which the ledger is wrong; `keys` are the acknowledged jobs."""
        jobs = {row[0]: row[1:] for row in self.rows("SELECT id, state, attempt, epoch FROM job")}
        events: dict[str, list[tuple[int, str, str]]] = {}
        for job_id, seq, kind, data in self.rows("SELECT job_id, seq, type, data FROM event ORDER BY job_id, seq"):
            events.setdefault(job_id, []).append((seq, kind, data))
        good = ("succeeded", "cancelled") if may_be_cancelled else ("succeeded",)
        files = self.rows("SELECT job_id, sha256, stored FROM artifact")
        with_files = {row[0] for row in files}
        finished: Counter[tuple[str, str]] = Counter()
        for job_id, lines in events.items():
            for _, kind, data in lines:
                if kind == "stage.finished":
                    finished[job_id, data.split('"stage": "')[1].split('"')[0]] += 1
        return {
            "lost": sum(job_id not in jobs for job_id in keys.values()),
            "doubled": len(jobs) - len(keys),
            "not ended well": sum(state not in good for state, _, _ in jobs.values()),
            "attempts spent": sum(max(0, attempt - 1) for _, attempt, _ in jobs.values()),
            "ended twice": sum(sum(k in ENDS for _, k, _ in lines) > 1 for lines in events.values()),
            "gaps in events": sum([s for s, _, _ in e] != list(range(1, len(e) + 1)) for e in events.values()),
            "stages done twice": sum(count > 1 for count in finished.values()),
            "results without files": sum(v[0] == "succeeded" and j not in with_files for j, v in jobs.items()),
            "files without results": sum(jobs[job_id][0] != "succeeded" for job_id in with_files),
            "damaged files": sum(not _whole(home / stored, sha256) for _, sha256, stored in files),
        }


def _whole(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
