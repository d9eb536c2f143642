"""Stages in a process of this machine: its own session, killed as a group, replaced when it dies."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator

import psutil

from recon.errors import Cancelled, OutOfMemory, RoadscribeError, WorkerLost
from workers.machine import Machine, this_machine
from workers.memory.limit import kills_for_memory
from workers.pool import BEAT, Report, StageOutcome, StageTask, deliver, is_outcome
from workers.pulse import Pulse, PulseLimits
from workers.stage import Stage

POLL_S = 0.1
BEAT_S = 1.0
KEPT_MB = 600.0  # a worker with more is no longer as good as new
KEPT_S = 30.0  # an idle worker ends by itself, but never this soon


class LocalPool:
    """One worker for the stages of one job: it imports once, and its memory is released at the end of the job.

    A worker that is as good as new serves the next job as well, if that is of the same kind: it used no GPU, holds
    little memory and has no children, and nothing failed in it. Small jobs thus do not wait for imports.
    """

    def __init__(self, limits: PulseLimits | None = None, *, kept_mb: float = KEPT_MB) -> None:
        """Keep a worker between jobs that holds `kept_mb` at most: while idle it counts as nobody's memory."""
        self._limits, self._kept_mb = limits or PulseLimits(), kept_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._rest = b""
        self._attempt = ("", "")  # kind and attempt of the last job
        self._as_new = False
        self._idle_since = 0.0

    def __del__(self) -> None:
        """Leave no process behind a pool that nobody closed."""
        self.close()

    def run(self, task: StageTask, report: Report, should_stop: Callable[[], bool]) -> StageOutcome:
        """Run one stage; see `Pool.run`. Call from a thread that lives as long as the pool."""
        with contextlib.closing(self.messages(task, should_stop)) as lines:
            return deliver(lines, report)

    def messages(self, task: StageTask, should_stop: Callable[[], bool]) -> Generator[bytes]:
        """Yield what the worker of a stage says, line by line, and a beat each second; raises as `run` does."""
        process, kills_before = self._worker(task), kills_for_memory()
        assert process.stdin is not None
        pulse = Pulse(process.pid, self._limits)
        try:
            process.stdin.write(task.to_json().encode() + b"\n")
            process.stdin.flush()
            for line in self._lines(should_stop):
                yield line
                if is_outcome(line):
                    self._note(task, StageOutcome.from_json(line.decode()))
                    return
                if line == BEAT and (fault := pulse.fault()):
                    raise WorkerLost(fault, where=task.stage.name, hint="The job is tried again.")
        except BrokenPipeError:
            pass
        except Cancelled:
            self._let_save(process, task.stage.grace_s)
            self.close()
            raise
        except BaseException:
            self.close()  # the result of this worker is not needed any more
            raise
        raise self._lost(task, kills_before)

    def machine(self, stage: Stage, should_stop: Callable[[], bool]) -> Machine:
        """Return this machine: its workers run here."""
        return this_machine()

    def _worker(self, task: StageTask) -> subprocess.Popen[bytes]:
        """Return a worker for a stage: the one that is there, if it served this very job or is as good as new."""
        served, self._attempt = self._attempt, (task.job, task.attempt)
        if self._process is not None and self._process.poll() is None:
            soon = time.monotonic() - self._idle_since < KEPT_S
            if soon and (served == self._attempt or (served[0] == task.job and self._is_as_new())):
                return self._process
        self.close()
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "workers.local_worker", str(os.getpid()), str(writing)]
        try:
            # stdout belongs to the caller, so output of libraries goes to stderr.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=sys.__stderr__,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._pipe, self._rest, self._as_new = reading, b"", True
        return self._process

    def _note(self, task: StageTask, outcome: StageOutcome) -> None:
        """Remember what a stage may have left in its worker."""
        self._as_new = self._as_new and outcome.error is None and not (task.stage.gpus and this_machine().cuda)
        self._idle_since = time.monotonic()

    def _is_as_new(self) -> bool:
        if self._process is None or not self._as_new:
            return False
        try:
            process = psutil.Process(self._process.pid)
            return not process.children() and process.memory_info().rss / 2**20 <= self._kept_mb
        except psutil.Error:
            return False

    def _lines(self, should_stop: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the worker's lines, and beats, until it closes the pipe; raises Cancelled when asked to stop."""
        beat_at = time.monotonic()
        while True:
            if should_stop():
                raise Cancelled
            if time.monotonic() - beat_at > BEAT_S:
                yield BEAT
                beat_at = time.monotonic()
            ready, _, _ = select.select([self._pipe], [], [], POLL_S)
            if not ready:
                continue
            data = os.read(self._pipe, 65536)
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines

    def _let_save(self, process: subprocess.Popen[bytes], grace_s: float) -> None:
        """Tell a worker to end, and wait until it has answered or died, at most `grace_s`."""
        if grace_s:
            process.terminate()
            deadline = time.monotonic() + grace_s
            with contextlib.suppress(Cancelled):
                for line in self._lines(lambda: time.monotonic() > deadline):
                    if is_outcome(line):
                        return

    def _lost(self, task: StageTask, kills_before: int) -> RoadscribeError:
        assert self._process is not None
        status = self._process.wait()
        self.close()
        if status == -signal.SIGKILL and kills_for_memory() > kills_before:
            hint = f"{task.stage.slimming}, or a machine with more memory."
            return OutOfMemory("the kernel killed the worker for memory", where=task.stage.name, hint=hint)
        by = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        hint = f"Did the kernel kill it for memory? {task.stage.slimming}, or a larger machine."
        return WorkerLost(f"the worker process died by {by}", where=task.stage.name, hint=hint)

    def check(self) -> None:
        """Do nothing: this machine runs."""

    def end_job(self) -> None:
        """Kill the worker and whatever it started, unless it is as good as new."""
        if not self._is_as_new():
            self.close()

    def close(self) -> None:
        """Kill the worker and whatever it started."""
        process, self._process = self._process, None
        if process is not None:
            # The leader may be gone while its children live on: the group is what must die.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
