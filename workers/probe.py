"""Stages of a probe job: they sleep, fail or die on a script, so that pools and queue can be put to the test."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from recon.artifact import atomic_folder, seal
from recon.errors import DriveInvalid
from workers.executor import StageInput
from workers.spec import ProbeConfig

STEP_S = 0.02


def first(given: StageInput) -> None:
    """Sleep `seconds` in small steps, reporting each, then leave `size` bytes."""
    config: ProbeConfig = given.config
    _work(given, config.seconds)
    _leave(given, b"first")


def second(given: StageInput) -> None:
    """Do the next action of the script; the number of earlier runs is counted beside the work folder."""
    config: ProbeConfig = given.config
    runs = _count_run(given.folder.parent.with_suffix(".runs"))
    action = config.script[runs] if runs < len(config.script) else "ok"
    if action == "invalid":
        raise DriveInvalid("the probe was told to fail", where="frame 3", hint="Tell it otherwise.")
    if action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "bug":
        raise ZeroDivisionError("the probe was told to be wrong")
    if action == "disk_full":
        raise OSError(errno.ENOSPC, "no space left on device")
    if action == "hang":
        time.sleep(3600)  # deaf: only a kill ends it
    _work(given, config.seconds)
    _leave(given, b"second")


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
