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

from recon.errors import Cancelled, OutOfMemory, RoadscribeError, WorkerLost
from workers.machine import Machine, this_machine
from workers.memory.limit import kills_for_memory
from workers.pool import BEAT, Report, StageOutcome, StageTask, deliver, is_outcome
from workers.pulse import Pulse, PulseLimits
from workers.stage import Stage

POLL_S = 0.1
BEAT_S = 1.0


class LocalPool:
    """One worker for the stages of one job: it imports once, and its memory is released at the end of the job."""

    def __init__(self, limits: PulseLimits | None = None) -> None:
        self._limits = limits or PulseLimits()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._rest = b""

    def run(self, task: StageTask, report: Report, should_stop: Callable[[], bool]) -> StageOutcome:
        """Run one stage; see `Pool.run`. Call from a thread that lives as long as the pool."""
        with contextlib.closing(self.messages(task, should_stop)) as lines:
            return deliver(lines, report)

    def messages(self, task: StageTask, should_stop: Callable[[], bool]) -> Generator[bytes]:
        """Yield what the worker of a stage says, line by line, and a beat each second; raises as `run` does."""
        process, kills_before = self._worker(), kills_for_memory()
        assert process.stdin is not None
        pulse = Pulse(process.pid, self._limits)
        try:
            process.stdin.write(task.to_json().encode() + b"\n")
            process.stdin.flush()
            for line in self._lines(should_stop):
                yield line
                if is_outcome(line):
                    return
                if line == BEAT and (fault := pulse.fault()):
                    raise WorkerLost(fault, where=task.stage.name, hint="The job is tried again.")
        except BrokenPipeError:
            pass
        except Cancelled:
            self._let_save(process, task.stage.grace_s)
            self.end_job()
            raise
        except BaseException:
            self.end_job()  # the result of this worker is not needed any more
            raise
        raise self._lost(task, kills_before)

    def machine(self, stage: Stage, should_stop: Callable[[], bool]) -> Machine:
        """Return this machine: its workers run here."""
        return this_machine()

    def _worker(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end_job()
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
        self._pipe, self._rest = reading, b""
        return self._process

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
        self.end_job()
        if status == -signal.SIGKILL and kills_for_memory() > kills_before:
            hint = "Use smaller tiles (fit.tile_cells), a coarser fit.cell_m, or a machine with more memory."
            return OutOfMemory("the kernel killed the worker for memory", where=task.stage.name, hint=hint)
        by = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        hint = "If the kernel killed it for memory, use a coarser fit.cell_m or a larger machine."
        return WorkerLost(f"the worker process died by {by}", where=task.stage.name, hint=hint)

    def check(self) -> None:
        """Do nothing: this machine runs."""

    def end_job(self) -> None:
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

    def close(self) -> None:
        """Stop the worker."""
        self.end_job()
