"""Walk a plan: look up each stage's key, skip what the store has, run the rest in a pool, and report each step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from recon.artifact import MANIFEST, digest_file, digest_json, read_manifest
from recon.errors import ArtifactDamaged, ArtifactForeign, Cancelled, RoadscribeError, StageTimeout, storage_errors
from workers.jobs.job_spec import JobSpec, ReportOf
from workers.pool import Pool, StageTask, attempt_suffix
from workers.spec import spec_record, stored_spec
from workers.stage import Stage, StageRecord, identity, stored_record
from workers.stage_key import environment, stage_key
from workers.store import NEWEST_SCHEMA, Store

STAGE_LIMIT_S = 6 * 3600.0
MOST_MENDS = 3  # damaged results that one run makes again: after that it is the disk or the memory that is broken


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """An event of a stage."""

    kind: Literal[
        "stage.waiting", "stage.started", "stage.progress", "stage.skipped", "stage.finished", "artifact.damaged"
    ]
    stage: str
    index: int  # of the stage in the plan, from 0
    count: int  # stages of the plan
    done: int = 0
    total: int = 0
    unit: str = ""
    seconds: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)  # what the stage measured, such as a loss
    reason: str = ""  # what is wrong with the stage's stored result, or what a waiting stage waits for
    job: str = ""  # the job that a waiting stage waits for

    def record(self) -> dict[str, Any]:
        """Return the JSON form, without the fields that the kind of event does not have."""
        body: dict[str, Any] = {"stage": self.stage, "index": self.index, "count": self.count}
        if self.kind == "stage.progress":
            body |= {"done": self.done, "total": self.total, "unit": self.unit}
            body |= {"values": dict(self.values)} if self.values else {}
        if self.kind == "stage.finished":
            body["seconds"] = round(self.seconds, 3)
        if self.kind == "artifact.damaged":
            body["reason"] = self.reason
        if self.kind == "stage.waiting":
            body |= {"reason": self.reason, "waits_for": [self.job] if self.job else []}
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """One file of the result: where users see it, where it lies."""

    path: str
    source: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A finished run."""

    spec: JobSpec
    stages: tuple[StageRecord, ...]
    seconds: float

    def files(self) -> tuple[ResultFile, ...]:
        """Return the files of the published stages in order of path."""
        found = []
        for record in self.stages:
            prefix = self.spec.publishes().get(record.name)
            if prefix is not None:
                files = dict(record.manifest.files)
                if prefix:  # a folder of its own is an artifact to its users too
                    files[MANIFEST] = digest_file(record.folder / MANIFEST)
                for name, sha256 in files.items():
                    path = f"{prefix}/{name}" if prefix else name
                    found.append(ResultFile(path=path, source=record.folder / name, sha256=sha256))
        return tuple(sorted(found, key=lambda file: file.path))

    def record(self) -> dict[str, Any]:
        """Return report.json: what was made, from what, at which cost."""
        body: dict[str, Any] = {
            "roadscribe": version("roadscribe"),
            "job": spec_record(self.spec),
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": round(max((s.peak_memory_bytes for s in self.stages), default=0) / 1e6, 1),
            "stages": [
                {
                    "name": stage.name,
                    "state": "skipped" if stage.skipped else "run",
                    "seconds": round(stage.seconds, 3),
                    "peak_memory_mb": round(stage.peak_memory_bytes / 1e6, 1),
                    "digest": stage.digest,
                    "key": stage.folder.name,
                }
                for stage in self.stages
            ],
        }
        # Users first read what the last stage measured: elements, metres, coverage.
        summary = self.stages[-1].manifest.meta.get("summary") if self.stages else None
        return body | (summary or {})


class Waiting(Protocol):
    """Takes why a stage waits, and the id of the job that it waits for, if it is one."""

    def __call__(self, reason: str, job: str = "", /) -> None:
        """Take the reason."""


class Turn(Protocol):
    """Decides when a stage may run."""

    def __call__(
        self, task: StageTask, waiting: Waiting, should_stop: Callable[[], bool], /
    ) -> AbstractContextManager[None]:
        """Hold the right to run a stage, after some time if need be; raises Cancelled when told to stop meanwhile."""


@contextmanager
def local_turn(task: StageTask, waiting: Waiting, should_stop: Callable[[], bool], /) -> Iterator[None]:
    """Let one process of this machine at a time work on a stage's result."""
    with task.store.locked(task.stage.role, task.key, lambda: waiting("another process makes it"), should_stop):
        yield


def run(
    spec: JobSpec,
    store: Store,
    pool: Pool,
    *,
    earlier: Mapping[str, StageRecord] = MappingProxyType({}),
    events: Callable[[RunEvent], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    token: str = "local",
    stage_limit_s: float = STAGE_LIMIT_S,
    turn: Turn = local_turn,
) -> RunReport:
    """Run a job to its end; `earlier` holds the artifacts of other jobs that its stages name as parents.

    No limit of time counts while a stage waits for its `turn`. `token` names the attempt: what it has not finished
    lies in folders of this name, so that an attempt that was given up, but lives on, disturbs nobody.
    Every published byte is compared with its digest. A stored result that changed, published or read by a stage, is set
    aside, and its stage runs again.
    Raises what a stage raised, WorkerLost, StageTimeout, DiskFull before the first stage when space is short,
    ArtifactDamaged for a result in `earlier` or too many others, and Cancelled. Finished stages stay in the store, so
    the next run of the same job starts where this one ended.
    """
    started = time.monotonic()
    store.check_free()
    plan = spec.plan()
    done = dict(earlier)
    index = mends = 0
    try:
        while index < len(plan):
            stage = plan[index]
            place: dict[str, Any] = {"stage": stage.name, "index": index, "count": len(plan)}
            computes_with = environment(stage, pool.machine(stage, should_stop))
            task = _task(spec, store, stage, done, token, computes_with)
            damaged: list[tuple[str, str]] = []
            try:
                done[stage.name] = _made(task, pool, events, should_stop, stage_limit_s, turn, place)
            except Cancelled:
                raise
            except RoadscribeError:
                # Whatever a stage says, damaged input comes first: not every reader tells it from a fault of its own.
                damaged = _set_aside(store, stage.parents.values(), done)
                if not damaged:
                    raise
            index += 1
            if index == len(plan):
                damaged = damaged or _set_aside(store, spec.publishes(), done)
            if damaged:
                mends += 1
                index = _back_to(damaged, plan, events, mends)
    finally:
        pool.end_job()
    return RunReport(spec=spec, stages=tuple(done[stage.name] for stage in plan), seconds=time.monotonic() - started)


def _made(
    task: StageTask,
    pool: Pool,
    events: Callable[[RunEvent], None],
    should_stop: Callable[[], bool],
    limit_s: float,
    turn: Turn,
    place: dict[str, Any],
) -> StageRecord:
    """Return the result of a stage that the store has, or that the stage makes once it is its turn."""

    def waiting(reason: str, job: str = "", /) -> None:
        events(RunEvent(kind="stage.waiting", reason=reason, job=job, **place))

    told = partial(_damage_event, events, place)
    record = _stored(task, told)
    if record is None:
        with turn(task, waiting, should_stop):
            record = _stored(task, told)  # who had the turn before may have made it
            if record is None:
                events(RunEvent(kind="stage.started", **place))
                record = _run_stage(task, pool, events, should_stop, limit_s, place)
                events(RunEvent(kind="stage.finished", seconds=record.seconds, **place))
                return record
    events(RunEvent(kind="stage.skipped", **place))
    return record


def run_with_inputs(spec: JobSpec, store: Store, pool: Pool, report_of: ReportOf, **how: Any) -> RunReport:
    """Run a job as `run` does; where a result of its inputs is damaged or gone, those jobs run first.

    `report_of` returns the report of a finished job, `how` are the keyword arguments of `run` without `earlier`.
    """
    try:
        return run(spec, store, pool, earlier=spec.earlier(report_of, store), **how)
    except (ArtifactDamaged, ArtifactForeign):
        if not spec.input_jobs():
            raise
        for job_id in spec.input_jobs().values():
            run_with_inputs(stored_spec(json.dumps(report_of(job_id)["job"])), store, pool, report_of, **how)
    return run(spec, store, pool, earlier=spec.earlier(report_of, store), **how)


def _set_aside(store: Store, names: Iterable[str], done: Mapping[str, StageRecord]) -> list[tuple[str, str]]:
    """Set those of the results aside whose bytes changed, and return the stage and the damage of each."""
    damaged = []
    for record in (done[name] for name in dict.fromkeys(names) if name in done):
        stage, key = record.folder.parent.name, record.folder.name
        if reason := store.damage(stage, key, record.manifest.kind):
            store.set_aside(stage, key)
            damaged.append((record.name, reason))
    return damaged


def _back_to(
    damaged: Sequence[tuple[str, str]], plan: Sequence[Stage], events: Callable[[RunEvent], None], mends: int
) -> int:
    """Report damaged results and return the index of the first stage to run again; raises ArtifactDamaged."""
    names = [stage.name for stage in plan]
    for name, reason in damaged:
        index = names.index(name) if name in names else 0
        _damage_event(events, {"stage": name, "index": index, "count": len(plan)}, reason)
    name, reason = damaged[0]
    if any(name not in names for name, _ in damaged):
        hint = "It was set aside. Run the job that made it again."
        raise ArtifactDamaged(f"a result of another job is damaged: {reason}", where=name, hint=hint)
    if mends > MOST_MENDS:
        hint = "It was made again each time. Check the disk and the memory of this machine."
        raise ArtifactDamaged(f"stored results were damaged {mends} times in one run: {reason}", where=name, hint=hint)
    return min(names.index(name) for name, _ in damaged)


def _damage_event(events: Callable[[RunEvent], None], place: Mapping[str, Any], reason: str) -> None:
    events(RunEvent(kind="artifact.damaged", reason=reason, **place))


def _stored(task: StageTask, damaged: Callable[[str], None]) -> StageRecord | None:
    stage, store = task.stage, task.store
    manifest = store.find(stage.role, task.key, stage.kind, damaged) if stage.cached else None
    return None if manifest is None else stored_record(store, stage.name, stage.role, task.key, manifest)


def _task(
    spec: JobSpec,
    store: Store,
    stage: Stage,
    done: dict[str, StageRecord],
    token: str,
    computes_with: dict[str, Any],
) -> StageTask:
    parents = {role: done[name].digest for role, name in stage.parents.items()}
    with storage_errors(stage.name):  # files of the input are read for it
        config = spec.config_identity(stage)
    kind = type(spec)
    return StageTask(
        store=store,
        stage=stage,
        key=stage_key(stage, config, parents, computes_with),
        job=f"{kind.__module__}:{kind.__qualname__}",
        spec=spec.model_dump_json(),
        parents={role: str(done[name].folder) for role, name in stage.parents.items()},
        parent_digests=parents,
        config_digest=digest_json(config),
        environment=computes_with,
        token=token.replace(" ", "-") + attempt_suffix(stage),
    )


def _run_stage(
    task: StageTask,
    pool: Pool,
    events: Callable[[RunEvent], None],
    should_stop: Callable[[], bool],
    limit_s: float,
    place: dict[str, Any],
) -> StageRecord:
    deadline = time.monotonic() + limit_s

    def report(done: int, total: int, unit: str = "", values: Mapping[str, float] = MappingProxyType({}), /) -> None:
        events(RunEvent(kind="stage.progress", done=done, total=total, unit=unit, values=values, **place))

    try:
        outcome = pool.run(task, report, lambda: should_stop() or time.monotonic() > deadline)
    except Cancelled:
        if time.monotonic() > deadline and not should_stop():
            what = f"the stage did not end within {limit_s:.0f} s"
            raise StageTimeout(what, where=task.stage.name, hint="Raise the limit or split the drive.") from None
        raise
    if outcome.error is not None:
        if outcome.detail:
            outcome.error.add_note(outcome.detail)
        raise outcome.error
    if outcome.damaged:
        _damage_event(events, place, outcome.damaged)
    name = task.stage.name
    folder = task.store.object_path(task.stage.role, outcome.object_name)
    manifest = read_manifest(folder, kind=task.stage.kind, schema=NEWEST_SCHEMA, verify=False)
    return StageRecord(
        name=name,
        skipped=False,
        seconds=outcome.seconds,
        peak_memory_bytes=outcome.peak_memory_bytes,
        digest=identity(manifest),
        folder=folder,
        manifest=manifest,
    )
