"""Stages as Ray remote tasks. It runs in the executor process, never in the API.

Ray only provides the compute: no retries, no objects but a line of JSON. Attempts are counted in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon.artifact import write_atomic
from recon.errors import Cancelled, InfrastructureError, OutOfMemory, WorkerLost
from recon.progress import throttled
from workers.machine import Machine, this_machine
from workers.pool import ClusterUnresponsive, Report, StageOutcome, StageTask
from workers.stage import Stage
from workers.stage_process import execute

OBJECT_STORE_BYTES = 256 << 20  # tasks exchange paths: the default of 30 % of the memory would lie idle
POLL_S = 0.25
QUIET_S = 20.0  # without progress for this long, the cluster is probed
PING_LIMIT_S = 15.0


def _run_stage(task_json: str) -> str:
    """Run in a Ray worker: progress goes to a file beside the store, since there is no pipe to the executor."""
    task = StageTask.from_json(task_json)
    path = task.store.progress_path(task.token)
    values: dict[str, float] = {}

    def tick(done: int, total: int, unit: str = "", /) -> None:
        body = {"stage": task.stage.name, "done": int(done), "total": int(total), "unit": unit, "values": values}
        with contextlib.suppress(InfrastructureError):  # a job does not fail for its progress
            write_atomic(path, json.dumps(body).encode())

    return execute(task, throttled(tick, POLL_S), measured=values.update).to_json()


def _machine() -> str:
    """Run in a Ray worker: JSON of what it computes with."""
    return json.dumps(asdict(this_machine()))


def _answer() -> int:
    return os.getpid()


class RayPool:
    """Runs stages on a Ray cluster: one of its own (address "") or one that exists ("auto", "host:port")."""

    def __init__(
        self, home: Path, *, address: str = "", num_cpus: int | None = None, num_gpus: int | None = None
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        _own_token(home)
        import ray

        self._ray = ray
        options: dict[str, Any] = {"log_to_driver": True, "logging_level": "warning", "ignore_reinit_error": False}
        if address:
            ray.init(address=address, **options)
        else:
            ray.init(
                num_cpus=num_cpus or os.cpu_count(),
                num_gpus=num_gpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **options,
            )
        threads = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count() or 1)
        runtime = {"env_vars": {"OMP_NUM_THREADS": threads}}  # Ray's own default is one thread per task
        options = {"max_retries": 0, "retry_exceptions": False, "num_cpus": 1, "runtime_env": runtime}
        self._stage = ray.remote(**options)(_run_stage)
        # A process keeps what it ever took of a GPU, and the GPU it first saw: this one ends with its stage.
        self._gpu_stage = ray.remote(**options, max_calls=1)(_run_stage)
        self._foreign = bool(address)  # its workers may run on other machines than this process
        self._machine = ray.remote(**options)(_machine)
        self._machines: dict[float, Machine] = {}  # by share of a GPU: asked once, as on any machine
        self._ping = ray.remote(max_retries=0, num_cpus=0)(_answer)

    def run(self, task: StageTask, report: Report, should_stop: Callable[[], bool]) -> StageOutcome:
        """Run one stage; see `Pool.run`. Raises ClusterUnresponsive when Ray no longer answers."""
        progress = task.store.progress_path(task.token)
        progress.unlink(missing_ok=True)
        gpus = self._gpus(task.stage)
        stage = self._gpu_stage.options(num_gpus=gpus) if gpus else self._stage
        try:
            answer = self._wait(stage.remote(task.to_json()), task.stage, should_stop, _Progress(progress, report))
            return StageOutcome.from_json(answer)
        finally:
            progress.unlink(missing_ok=True)

    def machine(self, stage: Stage, should_stop: Callable[[], bool]) -> Machine:
        """Return what the machine that will run a stage computes with; on an existing cluster a worker reports it."""
        if not self._foreign or not (stage.device or stage.renderer):
            return this_machine()
        gpus = self._gpus(stage)
        if gpus not in self._machines:
            answer = self._wait(self._machine.options(num_gpus=gpus).remote(), stage, should_stop, lambda: False)
            self._machines[gpus] = Machine(**json.loads(answer))
        return self._machines[gpus]

    def _wait(
        self, reference: Any, stage: Stage, should_stop: Callable[[], bool], has_moved: Callable[[], bool]
    ) -> str:
        """Return what a task returns; raises as `run` does. While `has_moved` is true the cluster is not asked."""
        ray, exceptions = self._ray, self._ray.exceptions
        quiet_since = time.monotonic()
        try:
            while True:
                ready, _ = ray.wait([reference], timeout=POLL_S)
                if ready:
                    return str(ray.get(reference))
                if should_stop():
                    raise Cancelled
                if has_moved():
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > QUIET_S:
                    self._check_alive()
                    quiet_since = time.monotonic()
        except Cancelled:
            self._kill(reference, stage.grace_s)
            raise
        except exceptions.OutOfMemoryError as error:
            hint = "Use a coarser fit.cell_m or a machine with more memory."
            raise OutOfMemory(where=stage.name, hint=hint) from error
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.RayTaskError) as error:
            what = f"the worker process died ({type(error).__name__})"
            raise WorkerLost(what, where=stage.name, hint="The job is tried again.") from error
        except exceptions.RayError as error:
            # Anything else is about the cluster: here every further attempt would only fail the same way.
            what = f"the Ray cluster failed ({type(error).__name__})"
            raise ClusterUnresponsive(what, where=stage.name, hint="The executor starts again.") from error

    def _gpus(self, stage: Stage) -> float:
        """Return the share of a GPU to ask for; 0 where the cluster has none, for Ray would wait for one for ever."""
        there: dict[str, float] = self._ray.cluster_resources() if stage.gpus else {}  # type: ignore[no-untyped-call]
        return stage.gpus if there.get("GPU", 0.0) >= stage.gpus else 0.0

    def _kill(self, reference: Any, grace_s: float) -> None:
        """Tell the task to end if it has something to save, then kill its process and wait for proof of its death."""
        if grace_s:
            self._ray.cancel(reference)  # a SIGINT to a task that runs; one that waits is dropped
            self._ray.wait([reference], timeout=grace_s)
        self._ray.cancel(reference, force=True)
        with contextlib.suppress(Exception):  # any exception is the proof; a time-out means that Ray does not answer
            self._ray.get(reference, timeout=10.0)

    def _check_alive(self) -> None:
        """Raise ClusterUnresponsive unless a task that waits for nothing ends in time.

        A dead raylet leaves `ray.get` hanging for ever, so the question is asked from a thread that may be lost.
        """
        answered = threading.Event()

        def ask() -> None:
            with contextlib.suppress(Exception):
                self._ray.get(self._ping.remote(), timeout=PING_LIMIT_S)
                answered.set()

        threading.Thread(target=ask, daemon=True).start()
        if not answered.wait(PING_LIMIT_S):
            raise ClusterUnresponsive(hint="The executor starts again and the job is tried again.")

    def end_job(self) -> None:
        """Do nothing: Ray keeps and ends its workers itself."""

    def close(self) -> None:
        """Disconnect from the cluster, and stop it if this process started it."""
        self._ray.shutdown()


class _Progress:
    """Reports what a stage wrote into its progress file since the last call."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report = path, report
        self._seen = b""

    def __call__(self) -> bool:
        """Report progress, and return whether there was any."""
        now = self._path.read_bytes() if self._path.exists() else b""
        if now == self._seen:
            return False
        self._seen = now
        body = json.loads(now)
        self._report(body["done"], body["total"], body["unit"], body["values"])
        return True


def _own_token(home: Path) -> None:
    """Give Ray a token file that only this user can read: without a token, any process that reaches a port controls it.

    Ray would write one into the home directory, readable by every user.
    """
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    path = home / "ray_token"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
