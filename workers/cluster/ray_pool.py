"""Stages as Ray remote tasks. It runs in the executor process, never in the API.

Ray only provides the compute: no retries, no objects but lines of JSON. Attempts are counted in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recon.errors import Cancelled, MachineLost, OutOfMemory, WorkerLost
from workers.cluster.ray_cluster import AGAIN, RayCluster
from workers.cluster.ray_stage import StopSign, machine, run_stage
from workers.machine import Machine, this_machine
from workers.pool import ClusterUnresponsive, Report, StageOutcome, StageTask, deliver
from workers.pulse import PulseLimits, Silence
from workers.stage import Stage

POLL_S = 0.25
KILL_LIMIT_S = 15.0  # Ray itself needs 5 s to kill a stopped process


class RayPool:
    """Runs stages on a Ray cluster: one of its own (address "") or one that exists ("auto", "host:port")."""

    def __init__(
        self,
        home: Path,
        *,
        address: str = "",
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        limits: PulseLimits | None = None,
    ) -> None:
        """Start or join the cluster; raises StorageError, DiskFull, ClusterUnresponsive."""
        self._cluster = RayCluster(home, address=address, num_cpus=num_cpus, num_gpus=num_gpus)
        self._limits = limits or PulseLimits()
        self._ray = ray = self._cluster.ray
        threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
        runtime = {"env_vars": {"OMP_NUM_THREADS": threads}}  # Ray's own default is one thread per task
        options = {"max_retries": 0, "retry_exceptions": False, "num_cpus": 1, "runtime_env": runtime}
        self._stage = ray.remote(**options, num_returns="streaming")(run_stage)
        # A process keeps what it ever took of a GPU, and the GPU it first saw: this one ends with its stage.
        self._gpu_stage = ray.remote(**options, num_returns="streaming", max_calls=1)(run_stage)
        self._sign = ray.remote(num_cpus=0)(StopSign)
        self._machine = ray.remote(**options)(machine)
        self._machines: dict[float, Machine] = {}  # by share of a GPU: asked once, as on any machine

    def run(self, task: StageTask, report: Report, should_stop: Callable[[], bool]) -> StageOutcome:
        """Run one stage; see `Pool.run`. Raises ClusterUnresponsive when Ray no longer answers."""
        self._cluster.check()
        gpus = self._gpus(task.stage)
        cpus = min(task.stage.cpus, self._cluster.most_cpus) or task.stage.cpus
        if task.stage.ray_workers:
            cpus = gpus = 0.0  # it only waits: its workers take them
        stage = (self._gpu_stage if gpus else self._stage).options(num_cpus=cpus, num_gpus=gpus)
        with self._typed(task.stage):
            sign = self._sign.remote() if task.stage.grace_s else None
            shared = "" if self._cluster.own else task.store.identity()
            tasked = stage.remote(task.to_json(), self._limits, sign, shared)
            stream = _Stream(self._cluster, tasked, self._limits.stopped_s)
            try:
                outcome = deliver(stream.lines(task.stage, should_stop), report)
            except Cancelled:
                if sign is not None and stream.begun:
                    sign.put_up.remote()
                    stream.ended(task.stage.grace_s)
                raise
            finally:
                stream.kill()
                if sign is not None:
                    self._ray.kill(sign)
        if outcome.error is not None and isinstance(outcome.error, WorkerLost | MachineLost):
            raise outcome.error
        return outcome

    def machine(self, stage: Stage, should_stop: Callable[[], bool]) -> Machine:
        """Return what the machine that will run a stage computes with; on an existing cluster a worker reports it."""
        if self._cluster.own or not (stage.device or stage.renderer):
            return this_machine()
        gpus = self._gpus(stage)
        if gpus not in self._machines:
            with self._typed(stage):
                answer = self._machine.options(num_gpus=gpus).remote()
                while not self._ray.wait([answer], timeout=POLL_S)[0]:
                    self._cluster.check()
                    if should_stop():
                        self._ray.cancel(answer, force=True)
                        raise Cancelled
                self._machines[gpus] = Machine(**json.loads(self._ray.get(answer)))
        return self._machines[gpus]

    @contextlib.contextmanager
    def _typed(self, stage: Stage) -> Iterator[None]:
        """Raise errors of Ray as errors of Roadscribe."""
        exceptions = self._ray.exceptions
        try:
            yield
        except exceptions.OutOfMemoryError as error:
            hint = f"{stage.slimming}, or a machine with more memory."
            raise OutOfMemory(where=stage.name, hint=hint) from error
        except exceptions.NodeDiedError as error:
            raise MachineLost("a machine of the Ray cluster died", where=stage.name, hint=AGAIN) from error
        except (exceptions.WorkerCrashedError, exceptions.RayTaskError) as error:
            what = f"the worker process died ({type(error).__name__})"
            raise WorkerLost(what, where=stage.name, hint="The job is tried again.") from error
        except exceptions.RayError as error:
            # Anything else is about the cluster: here every further attempt would only fail the same way.
            what = f"the Ray cluster failed ({type(error).__name__})"
            raise ClusterUnresponsive(what, where=stage.name, hint=AGAIN) from error

    def _gpus(self, stage: Stage) -> float:
        """Return the share of a GPU to ask for; 0 where the cluster has none, for Ray would wait for one for ever."""
        return stage.gpus if self._cluster.resources.get("GPU", 0.0) >= stage.gpus else 0.0

    def check(self) -> None:
        """Raise ClusterUnresponsive if the cluster died."""
        self._cluster.check()

    def end_job(self) -> None:
        """Do nothing: Ray keeps and ends its workers itself."""

    def close(self) -> None:
        """Disconnect from the cluster, and stop it if this process started it."""
        self._cluster.close()


class _Stream:
    """What one task says, line by line."""

    def __init__(self, cluster: RayCluster, stream: Any, silence_s: float) -> None:
        self._cluster, self._ray, self._stream, self._silence_s = cluster, cluster.ray, stream, silence_s
        self.begun = self._over = False

    def lines(self, stage: Stage, should_stop: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the lines; raises Cancelled, WorkerLost when the task fell silent, and errors of Ray."""
        silence = Silence()
        while not self._over:
            if should_stop():
                raise Cancelled
            line = self._next()
            if line is not None:
                silence.broken()
                yield line
            elif self.begun and silence.seconds() > self._silence_s:  # before, it may wait for a free CPU
                what = f"the worker's machine said nothing for {silence.seconds():.0f} s"
                raise WorkerLost(what, where=stage.name, hint="The job is tried again.")

    def _next(self) -> bytes | None:
        """Return the next line, or None when there is none soon or ever; raises errors of Ray."""
        self._cluster.check()
        if not self._ray.wait([self._stream], timeout=POLL_S)[0]:
            return None
        try:
            line: bytes = self._ray.get(next(self._stream))
        except (StopIteration, self._ray.exceptions.RayError) as error:
            self._over = True
            if isinstance(error, StopIteration):
                return None
            raise
        self.begun = True
        return line

    def ended(self, limit_s: float) -> bool:
        """Wait until the task has ended, and return whether that came in time."""
        deadline = time.monotonic() + limit_s
        with contextlib.suppress(self._ray.exceptions.RayError):
            while not self._over and time.monotonic() < deadline:
                self._next()
        return self._over

    def kill(self) -> None:
        """Kill the task's process, if it has not ended, and wait for proof of its death."""
        if not self._over:
            self._ray.cancel(self._stream, force=True)
            with contextlib.suppress(ClusterUnresponsive):  # it does not kill: whoever drives it finds out
                self.ended(KILL_LIMIT_S)
