"""A stage of a plan as data, the input of its function, and the record of its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from recon.artifact import Manifest, digest_json
from recon.progress import Tick
from workers.store import Store

Measured: TypeAlias = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a plan.

    `parents` maps the role in which a stage's function knows a parent to the parent's name in the plan. A stage that
    several trips go through has one role and many names, "segment 2" for the second trip, so that each trip's result
    is stored and found under the same key whichever job asked for it.
    """

    name: str
    function: str  # "module:function" taking a StageInput, imported in the worker only
    parents: Mapping[str, str] = field(default_factory=dict)  # role -> name in the plan
    config: str = ""  # field of the spec; "" = the stage has no settings
    kind: str = ""  # kind of the artifact it leaves
    cached: bool = True  # False: always run, because its input lies outside the store
    resumes: bool = False  # True: the next attempt finds the work folder of the last one
    grace_s: float = 0.0  # what a cancelled attempt gets to save what it has, before it is killed
    trip: int = 0  # which of the job's drives this stage works on
    cpus: float = 1.0  # what it keeps busy
    memory_mb: float = 500.0  # what it takes before anybody has measured it
    gpus: float = 0.0  # share of a GPU, where there is one
    ray_workers: int = 0  # processes that the stage itself asks a Ray cluster for: it takes its CPUs and GPUs there
    device: str = ""  # device setting, "auto" included, of a stage that computes with PyTorch; "" = it does not
    renderer: str = ""  # renderer setting, "auto" included, of a stage that renders; "" = it does not
    slimming: str = "Use smaller tiles (fit.tile_cells), a coarser fit.cell_m"  # advice when memory ran out
    unused: tuple[str, ...] = ()  # imports that the settings of the job never reach, as "importer:module"

    @property
    def role(self) -> str:
        """Return the name without the trip's number: where results are kept."""
        return role_of(self.name)


def role_of(name: str) -> str:
    """Return the role of a stage of this name."""
    return name.split(" ", maxsplit=1)[0]


def same(*names: str) -> dict[str, str]:
    """Return parents whose role is their name."""
    return {name: name for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageInput:
    """What a stage function sees: all that its key holds, and nothing else of the job."""

    config: Any  # the stage's settings, or None
    parents: dict[str, Path]
    parent_digests: dict[str, str]
    config_digest: str
    trip: int  # which of the job's drives the stage works on
    folder: Path  # where the sealed artifact must be when the function returns
    tick: Tick
    measured: Measured = lambda _: None  # values by name that the next progress carries


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """The result of one stage."""

    name: str
    skipped: bool
    seconds: float
    peak_memory_bytes: int
    digest: str
    folder: Path
    manifest: Manifest

    @property
    def role(self) -> str:
        """Return the name without the trip's number."""
        return role_of(self.name)


def identity(manifest: Manifest) -> str:
    """Return the digest by which later stages know an artifact: its content, not where the drive lies."""
    if manifest.kind != "DriveLog":
        return manifest.digest
    meta = {key: value for key, value in manifest.meta.items() if key != "root"}
    return digest_json({"kind": manifest.kind, "schema": manifest.schema, "meta": meta, "files": manifest.files})


def stored_record(store: Store, name: str, role: str, key: str, manifest: Manifest) -> StageRecord:
    """Return the record of a stage whose result the store holds already."""
    return StageRecord(
        name=name,
        skipped=True,
        seconds=0.0,
        peak_memory_bytes=0,
        digest=identity(manifest),
        folder=store.object_path(role, key),
        manifest=manifest,
    )
