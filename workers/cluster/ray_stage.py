"""What runs in a Ray worker: it starts a process for its stage as the local pool does, and passes on what that says.

So both pools notice a stopped, dead-locked or killed stage in one way, and the stream tells the executor each second
that this machine lives. Ray reuses its workers, and the process is kept as long as the worker.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon.errors import ConfigInvalid, MachineLost, RoadscribeError
from recon.progress import Throttle
from workers.cluster.ray_cluster import CLUSTER
from workers.local_pool import LocalPool
from workers.machine import this_machine
from workers.pool import BEAT, StageOutcome, StageTask
from workers.pulse import PulseLimits

SIGN_EVERY_S = 0.5

_pools: dict[PulseLimits, LocalPool] = {}


class StopSign:
    """An actor beside a stage that may save when it is cancelled: what Ray cancels itself ends with its next line."""

    def __init__(self) -> None:
        self._up = False

    def put_up(self) -> None:
        """Tell the stage to end."""
        self._up = True

    def is_up(self) -> bool:
        """Return whether the stage is to end."""
        return self._up


def run_stage(task_json: str, limits: PulseLimits, sign: Any, store_identity: str) -> Iterator[bytes]:
    """Yield lines as `LocalPool.messages` does; the last is the outcome, also where the stage's process died.

    `sign` is the handle of a StopSign, or None. `store_identity` is that of the store which the executor sees, or "" on
    a cluster of its own.
    """
    import ray

    task = StageTask.from_json(task_json)
    yield BEAT
    os.environ[CLUSTER] = ray.get_runtime_context().gcs_address
    pool = _pools.setdefault(limits, LocalPool(limits))
    raylet, told = os.getppid(), _asking(sign)
    try:
        if store_identity:
            _check_shared(task, store_identity)
        # A worker whose raylet died works on, and nobody would end it: the job may already run elsewhere.
        yield from pool.messages(task, lambda: os.getppid() != raylet or told())
    except RoadscribeError as error:
        died = os.getppid() != raylet
        lost = MachineLost("Ray died on the worker's machine", where=task.stage.name, hint="The job is tried again.")
        yield StageOutcome(seconds=0.0, peak_memory_bytes=0, error=lost if died else error).to_json().encode()


def _check_shared(task: StageTask, store_identity: str) -> None:
    """Raise ConfigInvalid unless this machine sees the executor's store and the inputs of the job."""
    hint = "Mount it at the same path on every machine of the Ray cluster, or let Ray use only those that have it."
    home = task.store.home
    here = home / "identity"
    if not (here.is_file() and here.read_text() == store_identity):
        raise ConfigInvalid(f"{socket.gethostname()} does not share the store", where=str(home), hint=hint)
    for path in task.job_spec().input_paths().values():
        if not Path(path).exists():
            raise ConfigInvalid(f"{socket.gethostname()} does not see an input", where=path, hint=hint)


def _asking(sign: Any) -> Callable[[], bool]:
    """Return a function that asks a sign now and then; one that died says no more."""
    import ray

    throttle = Throttle(SIGN_EVERY_S)

    def told() -> bool:
        if sign is None or not throttle.due():
            return False
        try:
            return bool(ray.get(sign.is_up.remote(), timeout=SIGN_EVERY_S))
        except ray.exceptions.RayError:
            return False

    return told


def machine() -> str:
    """Return JSON of what this worker computes with."""
    return json.dumps(asdict(this_machine()))
