"""One run on several workers by Ray Train: each takes its part of every batch, the first one writes.

The loop is that of one process. Ray Train starts the workers, joins them to PyTorch's process group, and ends all of
them when one fails. States are our own: Ray Train's checkpoints hold no step, and are not known to `resume`.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from recon.config import require
from recon.errors import OutOfMemory, RoadscribeError, WorkerLost
from recon.progress import Throttle, Tick, silent
from training.engine.config import LoopConfig
from training.engine.loop import Outcome, run
from training.engine.process_group import ProcessGroup
from training.engine.state import load_average
from training.engine.task import Task

POLL_S = 0.25
_RAY_FILES = ".ray"  # in the folder of a run, while it runs: what Ray Train keeps of it

MakeTask = Callable[[], Task[Any, Any]]


def run_on_workers(
    out: Path,
    make_task: MakeTask,
    config: LoopConfig,
    *,
    workers: int,
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
    measured: Callable[[Mapping[str, float]], None] = lambda _: None,
) -> Outcome:
    """Do what `training.engine.loop.run` does, on several workers of the Ray cluster that this process is connected to.

    `make_task` is called in every worker and here: it pickles, and names files by absolute paths. `out` and those files
    lie where every worker sees them. Each worker has a GPU where `config.device` asks for one, or is auto and the
    cluster has enough. A step is that of one process with the same settings, but for rounding, what a net draws, and
    batch norms: each worker normalises its own part.

    Raises what `run` raises, WorkerLost when a worker died (the run may be resumed, with any number of workers that
    divides the batch), ConfigInvalid for fewer than two workers or more than the cluster holds.
    """
    import ray

    require(workers >= 2, "several workers are at least 2")
    there: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cuda = config.device == "cuda" or (config.device == "auto" and there.get("GPU", 0.0) >= workers)
    kind = "GPU" if cuda else "CPU"
    require(
        there.get(kind, 0.0) >= workers, f"the cluster has {there.get(kind, 0.0):.0f} {kind}s for {workers} workers"
    )
    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    given = {"out": out.resolve(), "make_task": make_task, "config": config, "resume": resume, "board": board}
    trainer = _trainer(given, workers, cuda)
    failed: list[BaseException] = []

    def fit() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # of another thread: it is raised where the caller waits
            failed.append(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    try:
        _watch(thread, board, tick, should_stop, measured, config.steps)
        if failed:
            raise _typed(failed[0], ray.get(board.failures.remote()), out)
    finally:
        ray.kill(board)
        shutil.rmtree(out / _RAY_FILES, ignore_errors=True)
    net = make_task().net(torch.device("cpu")).eval()
    step = load_average(out, net)
    return Outcome(net=net, step=step, stopped=step < config.steps)


class _Board:
    """Where the first worker writes how far it is, and reads whether to stop; an actor of its own."""

    def __init__(self) -> None:
        self._stop = False
        self._done, self._lines = 0, list[dict[str, float]]()
        self._failures: list[RoadscribeError] = []

    def tell(self, done: int) -> bool:
        """Take the step of the run, and return whether it is to stop."""
        self._done = max(done, self._done)
        return self._stop

    def line(self, scalars: dict[str, float]) -> None:
        """Take what was measured."""
        self._lines.append(scalars)

    def fail(self, error: RoadscribeError) -> None:
        """Take the error of a worker, which Ray Train would return as text."""
        self._failures.append(error)

    def failures(self) -> list[RoadscribeError]:
        """Return the errors of workers."""
        return self._failures

    def look(self, stop: bool) -> tuple[int, list[dict[str, float]]]:
        """Say whether to stop, and return the step and what was measured since the last look."""
        self._stop = self._stop or stop
        lines, self._lines = self._lines, []
        return self._done, lines


def _trainer(given: dict[str, Any], workers: int, cuda: bool) -> Any:
    # Ray Train looks at its workers every 2 s: too long for a cancel that shall end within seconds.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # one more process: states are frequent instead
    import ray.train
    from ray.train.torch import TorchTrainer

    api: Any = ray.train  # typed as the API before, which has other settings
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    return TorchTrainer(
        _work,
        train_loop_config=given,
        scaling_config=api.ScalingConfig(num_workers=workers, use_gpu=cuda),
        run_config=api.RunConfig(
            name="run",
            storage_path=str(given["out"] / _RAY_FILES),
            failure_config=api.FailureConfig(max_failures=0),  # whether to try again is the caller's question
            logging_config=api.LoggingConfig(log_level="WARNING"),
        ),
    )


def _work(given: dict[str, Any]) -> None:
    """Run in each worker."""
    import ray
    import ray.train.torch

    context, board = ray.train.get_context(), given["board"]
    device = ray.train.torch.get_device()
    group = ProcessGroup(rank=context.get_world_rank(), size=context.get_world_size(), device=device)
    throttle, stop = Throttle(POLL_S), False

    def should_stop() -> bool:
        nonlocal stop
        if group.rank == 0 and throttle.due():
            stop = ray.get(board.tell.remote(0))
        return stop

    def tick(done: int, total: int, unit: str = "", /) -> None:
        board.tell.remote(done)

    def measured(scalars: Mapping[str, float]) -> None:
        board.line.remote(dict(scalars))

    try:
        run(
            given["out"],
            given["make_task"](),
            given["config"],
            device,
            group=group,
            resume=given["resume"],
            tick=tick,
            should_stop=should_stop,
            measured=measured,
        )
    except RoadscribeError as error:
        ray.get(board.fail.remote(error))
        raise
    except torch.OutOfMemoryError:
        hint = "Use a smaller train.batch, or more parts: train.accumulate. Each part normalises its losses by itself."
        ray.get(board.fail.remote(OutOfMemory("the GPU ran out of memory", where=f"worker {group.rank}", hint=hint)))
        raise


def _watch(
    thread: threading.Thread,
    board: Any,
    tick: Tick,
    should_stop: Callable[[], bool],
    measured: Callable[[Mapping[str, float]], None],
    steps: int,
) -> None:
    """Report until the thread ends; an error of `tick` stops the run, which saves, and is raised then."""
    import ray

    seen, wrong = 0, None
    while True:
        alive = thread.is_alive()  # asked first: what is written after it is seen in one more turn
        done, lines = ray.get(board.look.remote(wrong is not None or should_stop()))
        if wrong is None:
            try:
                for line in lines:
                    measured(line)
                if done > seen:
                    tick(done, steps, "steps")
            except BaseException as error:
                wrong = error
        seen = max(done, seen)
        if not alive:
            break
        thread.join(POLL_S)
    if wrong is not None:
        raise wrong


def _typed(error: BaseException, failures: list[RoadscribeError], out: Path) -> BaseException:
    """Return the error of this project that explains why Ray Train ended; its own where there is none: a defect."""
    import ray

    if failures:
        return failures[0]
    lost = [
        rank for rank, cause in getattr(error, "worker_failures", {}).items() if "HealthCheck" in type(cause).__name__
    ]
    if lost:
        named = " and ".join(f"worker {rank}" for rank in sorted(lost))
        return WorkerLost(f"{named} died", where=str(out), hint="Continue with --resume from the newest state.")
    if isinstance(error, ray.exceptions.RayActorError):
        return WorkerLost(f"the controller of Ray Train died: {error}", where=str(out))
    return error
