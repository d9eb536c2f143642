"""Interfaces of execution: the protocol of the pools, and the tasks and outcomes they exchange with a worker."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

from recon.errors import MachineLost, RoadscribeError
from workers.jobs.job_spec import JobSpec
from workers.machine import Machine
from workers.stage import Stage
from workers.store import Store


def attempt_suffix(stage: Stage) -> str:
    """Return what names a stage in the token of an attempt at it."""
    return f"-{stage.name}".replace(" ", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTask:
    """All a worker needs to run one stage: paths and JSON, never arrays."""

    store: Store
    stage: Stage
    key: str
    job: str  # "module:Class" of the job's kind: a worker needs no list of kinds
    spec: str  # JSON of the job
    parents: dict[str, str]  # stage -> artifact folder
    parent_digests: dict[str, str]
    config_digest: str
    environment: dict[str, Any] | None = None  # what the key was made with; None: not compared
    token: str = "local"  # names the attempt

    def to_json(self) -> str:
        """Return one line of JSON."""
        store = {"home": str(self.store.home), "min_free_bytes": self.store.min_free_bytes}
        return json.dumps({**asdict(self), "store": store})

    @property
    def attempt(self) -> str:
        """Return what names the attempt at the whole job."""
        return self.token.removesuffix(attempt_suffix(self.stage))

    def settings(self) -> Any:
        """Return the settings of the stage."""
        return self.job_spec().config_of(self.stage)

    def job_spec(self) -> JobSpec:
        """Return the job."""
        module, _, name = self.job.partition(":")
        kind: type[JobSpec] = getattr(importlib.import_module(module), name)
        return kind.model_validate_json(self.spec, strict=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the task again."""
        body = json.loads(text)
        store = Store(Path(body["store"]["home"]), body["store"]["min_free_bytes"])
        stage = Stage(**{**body["stage"], "unused": tuple(body["stage"]["unused"])})
        return cls(**{**body, "store": store, "stage": stage})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutcome:
    """How a stage ended."""

    seconds: float
    peak_memory_bytes: int
    object_name: str = ""  # key under which the result was published
    damaged: str = ""  # what was wrong with an earlier result under this key
    error: RoadscribeError | None = None
    detail: str = ""  # traceback of an unexpected error, for the log

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(
            {
                "seconds": self.seconds,
                "peak_memory_bytes": self.peak_memory_bytes,
                "object_name": self.object_name,
                "damaged": self.damaged,
                "error": self.error.record() if self.error else None,
                "detail": self.detail,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the outcome again."""
        body = json.loads(text)
        return cls(**{**body, "error": error_of(body["error"]) if body["error"] else None})


def error_of(record: dict[str, Any]) -> RoadscribeError:
    """Return the error that a failure record describes; an unknown code becomes the root of the family."""
    kinds: dict[str, type[RoadscribeError]] = {}
    waiting: list[type[RoadscribeError]] = [RoadscribeError]
    while waiting:
        kind = waiting.pop()
        kinds.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    kind = kinds.get(record["code"], RoadscribeError)
    return kind(record["message"], where=record["where"], hint=record["hint"])


class Report(Protocol):
    """Takes the progress of a stage: a `Tick` that also gets what the stage measured, by name."""

    def __call__(
        self, done: int, total: int, unit: str = "", values: Mapping[str, float] = MappingProxyType({}), /
    ) -> None:
        """Take that `done` of `total` units are finished."""


BEAT = b"{}"  # the line that says that a worker lives


def is_outcome(line: bytes) -> bool:
    """Return whether a line of a worker is its last: the outcome of its stage."""
    return "seconds" in json.loads(line)


def deliver(lines: Iterable[bytes], report: Report) -> StageOutcome:
    """Report the progress among the lines of a worker, and return the outcome, which is the last."""
    for line in lines:
        message = json.loads(line)
        if "done" in message:
            report(message["done"], message["total"], message["unit"], message["values"])
    return StageOutcome.from_json(line.decode())


class ClusterUnresponsive(MachineLost):
    """The cluster does not answer; the process that drives it must end and be started again."""

    code = "CLUSTER_SICK"


class CodeChanged(MachineLost):
    """A worker runs other code or other libraries than the process that named the result."""

    code = "CODE_CHANGED"


class Pool(Protocol):
    """Runs stages in worker processes, one at a time. A worker that crashes raises an error; this process lives on."""

    def run(self, task: StageTask, report: Report, should_stop: Callable[[], bool]) -> StageOutcome:
        """Run one stage to its end.

        Calls `report` with its progress. Raises Cancelled soon after `should_stop` turns true, when the worker
        and its children are dead: a stage with a `grace_s` is told to end by a signal first, and gets that long to
        save. Raises WorkerLost or OutOfMemory when the worker died by itself, and WorkerLost when it was stopped by a
        signal or did nothing for too long (`workers.pulse`): it is dead then.
        """

    def machine(self, stage: Stage, should_stop: Callable[[], bool]) -> Machine:
        """Return what the machine that will run a stage computes with; raises as `run` does."""

    def check(self) -> None:
        """Raise ClusterUnresponsive if what the stages run on died; asked every few seconds where nothing runs."""

    def end_job(self) -> None:
        """Forget what was kept warm for one job."""

    def close(self) -> None:
        """Stop all workers."""
