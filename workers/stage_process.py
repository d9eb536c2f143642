"""The inside of a worker: run one stage function in its work folder and publish what it sealed."""

from __future__ import annotations

import contextlib
import importlib
import resource
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

from recon.artifact import MANIFEST, read_manifest
from recon.errors import InputInvalid, OutOfMemory, RoadscribeError, defect, storage_errors
from recon.progress import Tick
from workers.kernel_cache import forget_stale_kernels
from workers.machine import this_machine
from workers.pool import CodeChanged, StageOutcome, StageTask
from workers.stage import Measured, StageInput
from workers.stage_key import environment
from workers.store import NEWEST_SCHEMA


def execute(task: StageTask, tick: Tick, measured: Measured = lambda _: None) -> StageOutcome:
    """Run a stage and return its outcome; never raises, so that no other exception crosses the process border."""
    started = time.monotonic()
    reset_peak_memory()

    def outcome(**fields: Any) -> StageOutcome:
        return StageOutcome(seconds=time.monotonic() - started, peak_memory_bytes=peak_memory_bytes(), **fields)

    try:
        _check_environment(task)
        key, damaged = _run(task, tick, measured)
        return outcome(object_name=key, damaged=damaged)
    except RoadscribeError as error:
        return outcome(error=error)
    except MemoryError:
        hint = f"{task.stage.slimming}, or a machine with more memory."
        return outcome(error=OutOfMemory(where=task.stage.name, hint=hint))
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, for a GPU; most stages never load PyTorch
            renders = ", or set fit.renderer to cpu" if task.stage.renderer else ""
            hint = f"{task.stage.slimming}, or let fewer stages share the GPU{renders}."
            return outcome(error=OutOfMemory("the GPU ran out of memory", where=task.stage.name, hint=hint))
        return outcome(error=defect(error, task.stage.name), detail=traceback.format_exc())


def _check_environment(task: StageTask) -> None:
    """Raise CodeChanged unless this process would name the result as the sender of the task did."""
    if task.environment is None:
        return
    here = environment(task.stage, this_machine())
    differs = [name for name in sorted(here | task.environment) if here.get(name) != task.environment.get(name)]
    if differs:
        what = f"the worker has another {' and '.join(differs)} than the executor"
        hint = "Restart the service after an upgrade, and install the same packages on every machine."
        raise CodeChanged(what, where=task.stage.name, hint=hint)


def _run(task: StageTask, tick: Tick, measured: Measured) -> tuple[str, str]:
    """Return the key of the published result, and what was wrong with an earlier one in its place.

    The sender of the task holds the right to make it.
    """
    stage, store = task.stage, task.store
    # Whoever asks for a result without a key does it for itself: others may do the same work at the same time.
    name = task.key if stage.cached else f"{task.key}-{task.token}"
    work = store.begin_work(stage.role, name, task.token, resumes=stage.resumes)
    folder = work / "artifact"
    if (folder / MANIFEST).exists():
        shutil.rmtree(folder)
    given = StageInput(
        config=task.settings(),
        parents={name: Path(path) for name, path in task.parents.items()},
        parent_digests=task.parent_digests,
        config_digest=task.config_digest,
        trip=stage.trip,
        folder=folder,
        tick=tick,
        measured=measured,
    )
    forget_stale_kernels(stage.function, stage.unused)
    module, _, attribute = stage.function.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    try:
        with storage_errors(str(work)):
            function(given)
    except InputInvalid:
        # What a stage that resumes has made so far may be days of work, and serves once the input is mended.
        if not stage.resumes:
            store.end_work(stage.role, name, task.token)
        raise
    manifest = read_manifest(folder, kind=stage.kind, schema=NEWEST_SCHEMA, verify=False)
    key = task.key if stage.cached else manifest.digest
    damaged = store.publish(folder, stage.role, key, stage.kind)
    store.end_work(stage.role, name, task.token)
    return key, damaged


def reset_peak_memory() -> None:
    """Start a new measurement: a worker process may have run other stages before."""
    with contextlib.suppress(OSError), Path("/proc/self/clear_refs").open("w") as stream:
        stream.write("5")


def peak_memory_bytes() -> int:
    """Return the most memory this process held since the last reset (Linux), else since its start."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
