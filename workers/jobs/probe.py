"""The job `probe`: stages that sleep, fail or die on a script, so that pools and queue can be put to the test."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from recon.artifact import atomic_folder, read_manifest, seal
from recon.errors import Cancelled, DriveInvalid
from workers.jobs.job_spec import JobSpec, Spec
from workers.stage import Stage, StageInput, same

STEP_S = 0.02
LIGHT_BYTES = 512  # a probe that runs out of memory does so with more


ProbeAction = Literal["ok", "invalid", "crash", "bug", "disk_full", "memory", "hang", "save", "stop", "busy", "leave"]


class ProbeConfig(Spec):
    """What the stages of a probe do: `script` holds one action for each run of the second stage."""

    seconds: float = Field(default=0.0, ge=0.0, le=3600.0)
    size: int = Field(default=16, ge=0, le=1 << 30)  # bytes written by each stage
    script: tuple[ProbeAction, ...] = ()
    steps: tuple[float, ...] = ()  # seconds of stages between the two
    grace_s: float = Field(default=0.0, ge=0.0, le=60.0)  # of the second stage
    salt: str = ""  # makes one probe differ from another


class ProbeJob(JobSpec):
    """Exercise queue, pools and store without a drive: its script lists what it does. For conformance tests."""

    public: ClassVar[bool] = False

    kind: Literal["probe"] = "probe"
    probe: ProbeConfig = ProbeConfig()
    after: tuple[str, ...] = ()  # jobs to wait for

    def input_jobs(self) -> dict[str, str]:
        """Return the jobs to wait for."""
        return {f"/after/{i}": job for i, job in enumerate(self.after)}

    def lighter(self) -> Self:
        """Return the probe with half of its bytes."""
        return self.model_copy(update={"probe": self.probe.model_copy(update={"size": self.probe.size // 2})})

    def plan(self) -> tuple[Stage, ...]:
        """Return two stages, the first works, the second follows the script, and the steps between them."""
        first, second = PLAN
        steps: list[Stage] = []
        for number in range(len(self.probe.steps)):
            parents = {"before": steps[-1].name if steps else first.name}
            steps.append(replace(STEP, name=f"step {number + 1}", parents=parents, trip=number))
        last = replace(second, grace_s=self.probe.grace_s)
        return first, *steps, replace(last, parents={**last.parents, "last": steps[-1].name}) if steps else last

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"second": ""}

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return nothing: a probe reads nothing."""
        return ""


PLAN = (
    Stage(name="first", function="workers.jobs.probe:first", config="probe", kind="Probe"),
    Stage(name="second", function="workers.jobs.probe:second", parents=same("first"), config="probe", kind="Probe"),
)
STEP = Stage(name="step", function="workers.jobs.probe:step", config="probe", kind="Probe")


def step(given: StageInput) -> None:
    """Sleep as long as the step shall last, then leave a name."""
    config: ProbeConfig = given.config
    _work(given, config.steps[given.trip])
    _leave(given, b"step")


def first(given: StageInput) -> None:
    """Sleep `seconds` in small steps, reporting each, then leave `size` bytes."""
    config: ProbeConfig = given.config
    _work(given, config.seconds)
    _leave(given, b"first")


def second(given: StageInput) -> None:
    """Do the next action of the script; the number of earlier runs is counted beside the work folder."""
    config: ProbeConfig = given.config
    runs = _count_run(_beside(given, ".runs"))
    action = config.script[runs] if runs < len(config.script) else "ok"
    if action == "invalid":
        raise DriveInvalid("the probe was told to fail", where="frame 3", hint="Tell it otherwise.")
    if action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "bug":
        raise ZeroDivisionError("the probe was told to be wrong")
    if action == "disk_full":
        raise OSError(errno.ENOSPC, "no space left on device")
    if action == "memory" and config.size > LIGHT_BYTES:
        raise MemoryError
    if action == "save":
        _save_at_a_signal(given)
    if action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if action == "leave":
        subprocess.Popen(["/bin/sleep", "60"])  # a child that outlives the stage
    if action == "busy":
        _calculate(config.seconds)
    if action == "hang":
        time.sleep(3600)  # only a kill ends it
    read_manifest(given.parents["first"], kind="Probe", schema=1)
    _work(given, config.seconds)
    _leave(given, b"second")


def _save_at_a_signal(given: StageInput) -> None:
    """Work until SIGTERM or Ctrl-C, then take a moment to save, as a training does."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    for step in range(100_000):
        if told.is_set():
            break
        given.measured({"loss": 1.0 / (step + 1)})
        given.tick(step + 1, 100_000, "steps")
        time.sleep(STEP_S)
    time.sleep(10 * STEP_S)
    _beside(given, ".saved").touch()
    raise Cancelled


def _beside(given: StageInput, suffix: str) -> Path:
    """Return a file beside the folders of all attempts at this result."""
    attempts = given.folder.parent.parent
    return attempts.with_name(attempts.name + suffix)


def _calculate(seconds: float) -> None:
    """Use the CPU and hold the interpreter, as a long kernel does: no other thread runs, and nothing is reported."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sum(range(50_000_000))  # a second or two inside one call


def _count_run(path: Path) -> int:
    with path.open("ab") as stream:
        before = stream.tell()
        stream.write(b".")
    return before


def _work(given: StageInput, seconds: float) -> None:
    steps = max(1, round(seconds / STEP_S))
    for step in range(steps):
        time.sleep(STEP_S if seconds else 0.0)
        given.tick(step + 1, steps, "steps")


def _leave(given: StageInput, name: bytes) -> None:
    config: ProbeConfig = given.config
    with atomic_folder(given.folder) as scratch:
        (scratch / "result.txt").write_bytes((name + b" ") * (config.size // (len(name) + 1)))
        seal(scratch, kind="Probe", schema=1, meta={"salt": config.salt}, parents=given.parent_digests)
