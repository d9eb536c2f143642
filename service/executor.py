"""The executor process: takes jobs under a lease, runs them in a pool, writes progress and endings to the ledger.

Run as `python -m service.executor`. It owns the Ray driver: when Ray crashes this process, its leases expire,
the supervisor starts it again, and the jobs continue from their finished stages.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from recon.artifact import write_atomic
from recon.errors import Cancelled, RoadscribeError, StorageError
from recon.progress import Throttle
from service import logs
from service.ledger.database import open_database
from service.ledger.leases import Claim, LeaseLost, Leases
from service.ledger.submissions import StoredFile
from service.results import report_file
from service.roots import resolve_below
from service.settings import Settings, load_settings
from vectorize.publish.job_report import REPORT
from workers.pool import ClusterUnresponsive, CodeChanged, Pool
from workers.run import RunEvent, RunReport, run_with_inputs
from workers.spec import stored_spec
from workers.store import Store

IDLE_S = 0.3
SICK_EXIT = 70
PROGRESS_EVERY_S = 0.5
EVENT_EVERY_S = 5.0  # the event log keeps this many progress lines at most; the job row has the newest


class Executor:
    """One slot: claims a job, runs it, ends it."""

    def __init__(self, settings: Settings, pool: Pool, leases: Leases) -> None:
        self._settings, self._pool, self._leases = settings, pool, leases
        self._store = Store(settings.home / "store", settings.min_free_mb << 20)
        self._log = structlog.get_logger()
        self.stopping = threading.Event()

    def serve(self) -> None:
        """Take jobs until `stopping` is set."""
        last_beat = 0.0
        while not self.stopping.is_set():
            claim = None
            try:
                if time.monotonic() - last_beat > 2.0:
                    self._leases.beat()
                    self._leases.sweep()
                    last_beat = time.monotonic()
                claim = self._leases.claim()
            except StorageError as error:
                self._log.warning("ledger.unavailable", error=str(error))
            if claim is None:
                self.stopping.wait(IDLE_S)
            else:
                self._run(claim)
                last_beat = 0.0  # sweep at once: other jobs may wait for this one

    def _run(self, claim: Claim) -> None:
        log = self._log.bind(job=claim.job_id, attempt=claim.attempt)
        log.info("job.started")
        keeper = _LeaseKeeper(self._leases, claim, self._settings.lease_s / 3)
        keeper.start()
        try:
            try:
                report = self._work(claim, keeper)
                self._leases.committing(claim)
                self._leases.succeed(claim, *self._publish(claim, report))
                log.info("job.succeeded", seconds=round(report.seconds, 1))
            except Cancelled:
                self._stopped(claim, keeper)
                log.info("job.stopped")
            except RoadscribeError as error:
                if error.code == "BUG":
                    log.error("job.bug", error=str(error), notes=getattr(error, "__notes__", []))
                log.warning("job.failed", code=error.code, error=str(error), next=self._leases.fail(claim, error))
                if isinstance(error, ClusterUnresponsive | CodeChanged):
                    # Ray does not answer, or the loaded code is old: the supervisor starts a new process.
                    os._exit(SICK_EXIT)
        except (LeaseLost, StorageError) as error:
            log.warning("job.lost", error=str(error))  # the ledger, or whoever holds the job now, ends it
        finally:
            keeper.stop()

    def _work(self, claim: Claim, keeper: _LeaseKeeper) -> RunReport:
        spec = stored_spec(claim.spec)
        for path in spec.input_paths().values():
            resolve_below(self._settings.root_paths, path)  # again: links may have come since the submission
        return run_with_inputs(
            spec,
            self._store,
            self._pool,
            self._leases.report_of,
            events=_EventWriter(self._leases, claim),
            should_stop=lambda: self.stopping.is_set() or keeper.stop_work.is_set(),
            token=claim.token,
            stage_limit_s=self._settings.stage_limit_s,
        )

    def _stopped(self, claim: Claim, keeper: _LeaseKeeper) -> None:
        if keeper.lost.is_set():
            raise LeaseLost(claim.token)
        if self.stopping.is_set():
            self._leases.give_back(claim)
        else:
            self._leases.cancelled(claim)

    def _publish(self, claim: Claim, report: RunReport) -> tuple[dict[str, Any], list[StoredFile]]:
        """Write report.json and name all files of the result; users see them once the ledger does."""
        home = self._settings.home
        data, entry = report_file(report)
        # The path holds the fencing token: an executor without its lease never overwrites the next one's files.
        stored = home / "reports" / f"{claim.token}.json"
        write_atomic(stored, data)
        files = [StoredFile(**_row(claim, home, REPORT, stored, entry))]
        files += [StoredFile(**_row(claim, home, f.path, f.source, f.sha256)) for f in report.files()]
        return report.record(), files


def _row(claim: Claim, home: Path, path: str, source: Path, sha256: str) -> dict[str, Any]:
    stored = source.relative_to(home).as_posix()
    return {
        "job_id": claim.job_id,
        "path": path,
        "sha256": sha256,
        "size_bytes": source.stat().st_size,
        "stored": stored,
    }


class _EventWriter:
    """Writes the events of a run to the ledger, throttled."""

    def __init__(self, leases: Leases, claim: Claim) -> None:
        self._leases, self._claim = leases, claim
        self._write, self._event = Throttle(PROGRESS_EVERY_S), Throttle(EVENT_EVERY_S)

    def __call__(self, event: RunEvent) -> None:
        if event.kind == "stage.progress":
            if not self._write.due():
                return
            keep = self._event.due()
        else:
            self._write.restart()
            self._event.restart()
            keep = True
        self._leases.progress(self._claim, event.kind, event.record(), keep=keep)


class _LeaseKeeper(threading.Thread):
    """Renews a lease during the work, and signals when the work must stop."""

    def __init__(self, leases: Leases, claim: Claim, every_s: float) -> None:
        super().__init__(daemon=True)
        self._leases, self._claim, self._every_s = leases, claim, min(every_s, 1.0)
        self._end = threading.Event()
        self.stop_work, self.lost = threading.Event(), threading.Event()

    def run(self) -> None:
        last_beat = time.monotonic()
        while not self._end.wait(self._every_s):
            try:
                if self._leases.renew(self._claim):
                    self.stop_work.set()
                if time.monotonic() - last_beat > 2.0:
                    self._leases.beat()
                    last_beat = time.monotonic()
            except LeaseLost:
                if not self._end.is_set():
                    self.lost.set()
                    self.stop_work.set()
                return
            except StorageError:
                continue  # the lease outlives a moment without the ledger; after that it is lost

    def stop(self) -> None:
        self._end.set()
        self.join()


def make_pool(settings: Settings) -> Pool:
    """Return the pool that the settings name."""
    if settings.executor == "local":
        from workers.local_pool import LocalPool

        return LocalPool()
    from workers.ray_pool import RayPool

    return RayPool(settings.home, address=settings.ray_address)


def main() -> None:
    """Run an executor until SIGTERM, SIGINT or the end of the parent process."""
    settings = load_settings()
    logs.configure()
    leases = Leases(
        open_database(settings.url),
        f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
        **settings.time_limits(),
    )
    pool = make_pool(settings)
    executor = Executor(settings, pool, leases)
    _stop_on_signals(executor.stopping.set)
    try:
        executor.serve()
    finally:
        pool.close()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    supervisor = int(os.environ.get("ROADSCRIBE_SUPERVISOR", "0"))

    def watch() -> None:
        # Compared with the stated pid: the parent may have died before this check.
        while os.getppid() == supervisor:
            time.sleep(1.0)
        stop()  # without a supervisor nothing restarts this process

    if supervisor:
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
