"""One slot of an executor: takes a job under a lease, runs it, ends it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog

from recon.artifact import write_atomic
from recon.errors import Cancelled, RoadscribeError, StorageError, defect
from recon.progress import Throttle
from service.execution.resources import Resources
from service.ledger.leases import Claim, LeaseLost, Leases
from service.ledger.submissions import StoredFile
from service.results import report_file
from service.roots import resolve_below
from service.settings import Settings
from service.storage.bucket import Bucket
from vectorize.publish.job_report import REPORT
from workers.pool import ClusterUnresponsive, CodeChanged, Pool, StageTask
from workers.retry import stepped_down
from workers.run import RunEvent, RunReport, run_with_inputs
from workers.spec import stored_spec
from workers.store import Store

IDLE_S = 0.3
BUG_PAUSE_S = 5.0  # after an error that nobody expected: it may come again at once
SICK_EXIT = 70
STAGE_POLL_S = 0.5
PROGRESS_EVERY_S = 0.5
EVENT_EVERY_S = 5.0  # the event log keeps this many progress lines at most; the job row has the newest
PATIENCE_S = 60.0  # for a ledger that restarts: the lease, if it ran out meanwhile, decides whether it was too long

T = TypeVar("T")


class Slot:
    """Runs one job after another, in a thread of its own."""

    def __init__(
        self, settings: Settings, pool: Pool, leases: Leases, resources: Resources, stopping: threading.Event
    ) -> None:
        self._settings, self._pool, self._leases = settings, pool, leases
        self._resources, self._stopping = resources, stopping
        self._store = Store(settings.home / "store", settings.min_free_mb << 20)
        self._bucket = Bucket(settings.publish_url) if settings.publish_url else None
        self._log = structlog.get_logger()

    def serve(self) -> None:
        """Take jobs until the executor stops."""
        while not self._stopping.is_set():
            claim = None
            try:
                claim = self._leases.claim()
            except StorageError as error:
                self._log.warning("ledger.unavailable", error=str(error))
            except Exception as error:
                self._log.error("slot.bug", exc_info=error)
                self._stopping.wait(BUG_PAUSE_S)
            if claim is None:
                self._stopping.wait(IDLE_S)
            else:
                self.run(claim)

    def run(self, claim: Claim) -> None:
        """Run a job to its end, or to where this executor loses it."""
        log = self._log.bind(job=claim.job_id, attempt=claim.attempt)
        log.info("job.started")
        keeper = LeaseKeeper(self._leases, claim, self._settings.lease_s / 3)
        keeper.start()
        try:
            try:
                report = self._work(claim, keeper)
                self._patiently(lambda: self._leases.committing(claim))
                files = self._publish(claim, report)
                extended = report.spec.extended()
                self._patiently(lambda: self._leases.succeed(claim, report.record(), files, extended=extended))
                log.info("job.succeeded", seconds=round(report.seconds, 1))
            except Cancelled:
                self._patiently(lambda: self._stopped(claim, keeper))
                log.info("job.stopped")
            except RoadscribeError as error:
                self._failed(claim, error, log)
            except LeaseLost:
                raise
            except Exception as error:
                # It is this attempt's alone: the process would take the jobs of all other slots with it.
                self._failed(claim, defect(error), log, error)
        except (LeaseLost, StorageError) as error:
            log.warning("job.lost", error=str(error))  # the ledger, or whoever holds the job now, ends it
        except Exception as error:
            log.error("job.bug", exc_info=error)  # the failure could not be written: the job ends with its lease
        finally:
            keeper.stop()

    def _failed(self, claim: Claim, error: RoadscribeError, log: Any, cause: Exception | None = None) -> None:
        if error.code == "BUG":
            # The log renders the traceback of a cause without the values in it, which may be secrets.
            log.error("job.bug", error=str(error), notes=getattr(error, "__notes__", []), exc_info=cause)
        state = self._patiently(lambda: self._leases.fail(claim, error))
        log.warning("job.failed", code=error.code, error=str(error), next=state)
        if isinstance(error, ClusterUnresponsive | CodeChanged):
            # Ray does not answer, or the loaded code is old: the supervisor starts a new process.
            os._exit(SICK_EXIT)

    def _work(self, claim: Claim, keeper: LeaseKeeper) -> RunReport:
        times = self._patiently(lambda: self._leases.memory_failures(claim))
        spec, _ = stepped_down(stored_spec(claim.spec), times)
        for path in spec.input_paths().values():
            resolve_below(self._settings.root_paths, path)  # again: links may have come since the submission
        return run_with_inputs(
            spec,
            self._store,
            self._pool,
            self._leases.report_of,
            events=EventWriter(self._leases, claim, self._patiently),
            should_stop=lambda: self._stopping.is_set() or keeper.stop_work.is_set(),
            token=claim.token,
            stage_limit_s=self._settings.stage_limit_s,
            turn=lambda *given: self._turn(claim, *given),
        )

    @contextmanager
    def _turn(
        self, claim: Claim, task: StageTask, waiting: Callable[..., None], should_stop: Callable[[], bool]
    ) -> Iterator[None]:
        """Hold a stage, so that no other job does the same work, and then the resources that it needs."""
        name = f"{task.stage.role}-{task.key}"
        if task.stage.cached:
            self._hold(claim, name, waiting, should_stop)
        try:
            with self._resources.taken(task.stage, lambda: waiting("resources"), should_stop):
                yield
        finally:
            if task.stage.cached:
                with suppress(StorageError):  # at the latest it ends with the lease
                    self._leases.leave_stage(claim, name)

    def _hold(self, claim: Claim, name: str, waiting: Callable[..., None], should_stop: Callable[[], bool]) -> None:
        told = ""
        while holder := self._patiently(lambda: self._leases.hold_stage(claim, name)):
            if holder != told:
                told = holder
                waiting("another job makes the same result", holder)
            time.sleep(STAGE_POLL_S)
            if should_stop():
                raise Cancelled

    def _stopped(self, claim: Claim, keeper: LeaseKeeper) -> None:
        if keeper.lost.is_set():
            raise LeaseLost(claim.token)
        if self._stopping.is_set():
            self._leases.give_back(claim)
        else:
            self._leases.cancelled(claim)

    def _publish(self, claim: Claim, report: RunReport) -> list[StoredFile]:
        """Write report.json and name all files of the result; users see them once the ledger does."""
        home = self._settings.home
        data, entry = report_file(report)
        # The path holds the fencing token: an executor without its lease never overwrites the next one's files.
        stored = home / "reports" / f"{claim.token}.json"
        write_atomic(stored, data)
        for stage in report.stages:
            if not stage.skipped:
                self._resources.measured(stage.role, stage.peak_memory_bytes)
        files = [StoredFile(**_row(claim, home, REPORT, stored, entry))]
        files += [StoredFile(**_row(claim, home, f.path, f.source, f.sha256)) for f in report.files()]
        if self._bucket is not None:
            for file in files:
                self._bucket.put_new(home / file.stored, file.sha256)
        return files

    def _patiently(self, call: Callable[[], T]) -> T:
        """Return what a write to the ledger returns, after some time without the ledger if need be."""
        deadline = time.monotonic() + (PATIENCE_S if not self._stopping.is_set() else self._settings.lease_s / 3)
        while True:
            try:
                return call()
            except StorageError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(IDLE_S)


def _row(claim: Claim, home: Path, path: str, source: Path, sha256: str) -> dict[str, Any]:
    stored = source.relative_to(home).as_posix()
    return {
        "job_id": claim.job_id,
        "path": path,
        "sha256": sha256,
        "size_bytes": source.stat().st_size,
        "stored": stored,
    }


class EventWriter:
    """Writes the events of a run to the ledger, throttled. A ledger that restarts costs progress, not the job."""

    def __init__(self, leases: Leases, claim: Claim, patiently: Callable[[Callable[[], None]], None]) -> None:
        self._leases, self._claim, self._patiently = leases, claim, patiently
        self._write, self._event = Throttle(PROGRESS_EVERY_S), Throttle(EVENT_EVERY_S)

    def __call__(self, event: RunEvent) -> None:
        """Write an event; raises LeaseLost."""
        record = event.record()
        if event.kind == "stage.progress":
            if self._write.due():
                keep = self._event.due()
                with suppress(StorageError):
                    self._leases.progress(self._claim, event.kind, record, keep=keep)
        else:
            self._write.restart()
            self._event.restart()
            self._patiently(lambda: self._leases.progress(self._claim, event.kind, record))


class LeaseKeeper(threading.Thread):
    """Renews a lease during the work, and signals when the work must stop."""

    def __init__(self, leases: Leases, claim: Claim, every_s: float) -> None:
        super().__init__(daemon=True)
        self._leases, self._claim, self._every_s = leases, claim, min(every_s, 1.0)
        self._end = threading.Event()
        self.stop_work, self.lost = threading.Event(), threading.Event()

    def run(self) -> None:
        """Renew until `stop`."""
        while not self._end.wait(self._every_s):
            try:
                if self._leases.renew(self._claim):
                    self.stop_work.set()
            except LeaseLost:
                if not self._end.is_set():
                    self.lost.set()
                    self.stop_work.set()
                return
            except StorageError:
                continue  # the lease outlives a moment without the ledger; after that it is lost
            except Exception as error:  # a keeper that ended would let the lease run out under sound work
                structlog.get_logger().error("lease.bug", job=self._claim.job_id, exc_info=error)

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self.join()
