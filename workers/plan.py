"""The pipeline as data: which stages a job has, what each reads, and the key that names its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from recon.artifact import Manifest, digest_file, digest_json
from recon.config import FitConfig, SegmentConfig
from recon.errors import ModelInvalid
from recon.segment.checkpoint import find_checkpoint, weights_digest
from recon.segment.mmseg_files import find_files
from workers.spec import AggregateJob, ExportJob, Job, LabelJob

RECON = ("recon", "workers")
VECTORIZE = (*RECON, "vectorize")
GPU_SHARE = 0.5  # net and surfels take a few GB each: two stages share a GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a plan.

    `parents` maps the role in which a stage's function knows a parent to the parent's name in the plan. A stage that
    several trips go through has one role and many names, "segment 2" for the second trip, so that each trip's result
    is stored and found under the same key whichever job asked for it.
    """

    name: str
    function: str  # "module:function" taking a StageInput, imported in the worker only
    code: tuple[str, ...] = RECON  # source folders whose change may change the result
    parents: Mapping[str, str] = field(default_factory=dict)  # role -> name in the plan
    config: str = ""  # field of the spec; "" = the stage has no settings
    kind: str = ""  # kind of the artifact it leaves
    cached: bool = True  # False: always run, because its input lies outside the store
    resumes: bool = False  # True: the next attempt finds the work folder of the last one
    trip: int = 0  # which of the job's drives this stage works on
    gpus: float = 0.0  # share of a GPU, where there is one and the settings use it

    @property
    def role(self) -> str:
        """Return the name without the trip's number: where results are kept."""
        return self.name.split(" ")[0]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


LABEL_PLAN = (
    Stage(name="ingest", function="workers.stages:ingest", kind="DriveLog", cached=False),
    Stage(
        name="segment",
        function="workers.stages:segment",
        parents=_same("ingest"),
        config="segment",
        kind="FrameLabels",
        resumes=True,
        gpus=GPU_SHARE,
    ),
    Stage(
        name="fit",
        function="workers.stages:fit",
        parents=_same("ingest", "segment"),
        config="fit",
        kind="RoadSurface",
        gpus=GPU_SHARE,
    ),
    Stage(name="bake", function="workers.stages:bake", parents=_same("fit"), config="bake", kind="BevMap"),
    Stage(
        name="trace",
        function="workers.stages:trace",
        code=VECTORIZE,
        parents=_same("ingest", "bake"),
        config="trace",
        kind="RoadMap",
    ),
    Stage(
        name="crop",
        function="workers.stages:crop",
        code=VECTORIZE,
        parents=_same("ingest", "fit", "bake", "trace"),
        config="crop",
        kind="LabelSet",
    ),
    Stage(
        name="pack",
        function="workers.stages:pack",
        code=VECTORIZE,
        parents=_same("ingest", "fit", "crop"),
        config="pack",
        kind="Shard",
    ),
    Stage(
        name="draw",
        function="workers.stages:draw",
        code=VECTORIZE,
        parents=_same("ingest", "segment", "fit", "bake", "trace", "crop"),
        config="fit",  # the held-out frames are measured here
        kind="Publication",
    ),
)
PROBE_PLAN = (
    Stage(name="first", function="workers.probe:first", config="probe", kind="Probe"),
    Stage(name="second", function="workers.probe:second", parents=_same("first"), config="probe", kind="Probe"),
)


# Of which stages of a finished job an export is made: the first that the job has.
ARTIFACT_STAGES = {
    "DriveLog": ("place", "ingest"),
    "RoadSurface": ("fit",),
    "BevMap": ("bake",),
    "RoadMap": ("trace",),
    "LabelSet": ("crop",),
}
# Its parents are no stages of its own plan but the artifacts of another job, by kind.
EXPORT_PLAN = (
    Stage(
        name="export",
        function="workers.export:export",
        code=VECTORIZE,
        parents=_same(*ARTIFACT_STAGES),
        kind="Export",
    ),
)


def _aggregate_plan(count: int) -> tuple[Stage, ...]:
    """Return the stages that make one site of `count` drives."""
    stages = {stage.name: stage for stage in LABEL_PLAN}
    trips = range(count)

    def of_trip(stage: Stage, trip: int, parents: Mapping[str, str]) -> Stage:
        return replace(stage, name=f"{stage.name} {trip + 1}", parents=parents, trip=trip)

    def every(stage: str) -> dict[str, str]:
        return {f"{stage} {t + 1}": f"{stage} {t + 1}" for t in trips}

    site = "workers.site_stages:"
    plan = [of_trip(stages["ingest"], t, {}) for t in trips]
    plan += [of_trip(stages["segment"], t, {"ingest": f"ingest {t + 1}"}) for t in trips]
    labelled = every("ingest") | every("segment")
    plan.append(Stage(name="align", function=f"{site}align", parents=labelled, config="align", kind="Alignment"))
    # From here on a drive is the placed one: in the site's world, its poses corrected, empty if it was left out.
    place = Stage(name="place", function=f"{site}place", kind="DriveLog")
    plan += [of_trip(place, t, {"ingest": f"ingest {t + 1}"} | _same("align")) for t in trips]
    placed = every("place") | every("segment")
    plan.append(replace(stages["fit"], function=f"{site}fit", parents=placed))
    plan.append(stages["bake"])
    plan.append(replace(stages["trace"], function=f"{site}trace", parents=every("place") | _same("bake")))
    plan += [of_trip(stages["crop"], t, {"ingest": f"place {t + 1}"} | _same("bake", "trace")) for t in trips]
    for t in trips:
        plan.append(of_trip(stages["pack"], t, {"ingest": f"place {t + 1}", "crop": f"crop {t + 1}"}))
    drawn = every("place") | every("crop") | _same("align", "bake", "trace")
    plan.append(replace(stages["draw"], function=f"{site}draw", parents=drawn))
    return tuple(plan)


def plan_of(spec: Job) -> tuple[Stage, ...]:
    """Return the stages of a job in the order they run."""
    if isinstance(spec, AggregateJob):
        return _aggregate_plan(len(spec.drives))
    if isinstance(spec, ExportJob):
        return EXPORT_PLAN
    return LABEL_PLAN if isinstance(spec, LabelJob) else PROBE_PLAN


def publishes(spec: Job) -> dict[str, str]:
    """Return stage -> folder of the result in which its files appear ("" = at the top)."""
    if isinstance(spec, AggregateJob):
        return {"draw": ""} | {f"pack {t + 1}": f"shards/{t + 1}" for t in range(len(spec.drives))}
    if isinstance(spec, ExportJob):
        return {"export": ""}
    return {"draw": "", "pack": "shards"} if isinstance(spec, LabelJob) else {"second": ""}


def gpus_of(stage: Stage, spec: Job) -> float:
    """Return the share of a GPU that a stage may use: what the plan declares, 0 where its settings keep it on CPUs."""
    config = config_of(spec, stage)
    if isinstance(config, SegmentConfig) and (config.device == "cpu" or config.backend in ("id_images", "openvino")):
        return 0.0
    if isinstance(config, FitConfig) and config.renderer in ("cpu", "reference"):
        return 0.0
    return stage.gpus


def identity(manifest: Manifest) -> str:
    """Return the digest by which later stages know an artifact: its content, not where the drive lies."""
    if manifest.kind != "DriveLog":
        return manifest.digest
    meta = {key: value for key, value in manifest.meta.items() if key != "root"}
    return digest_json({"kind": manifest.kind, "schema": manifest.schema, "meta": meta, "files": manifest.files})


def config_of(spec: Job, stage: Stage) -> Any:
    """Return the settings of a stage, or None; a trip may have its own."""
    if isinstance(spec, AggregateJob) and stage.role == "segment":
        return spec.drives[stage.trip].segment or spec.segment
    return getattr(spec, stage.config) if stage.config else None


def config_identity(spec: Job, stage: Stage) -> Any:
    """Return the JSON form of what a stage reads of its job, with files named by content instead of by path."""
    if not stage.cached:  # its key only names the work folder
        return {"spec": spec.model_dump(mode="json"), "trip": stage.trip}
    # A parent's identity does not say where the drive lies, but these two write it down.
    if isinstance(spec, AggregateJob) and stage.role == "place":  # it reads its own entry of the alignment
        return {"trip": stage.trip, "drive": spec.drives[stage.trip].drive}
    if isinstance(spec, ExportJob):
        return spec.model_dump(mode="json")
    if isinstance(spec, LabelJob) and stage.role == "draw" and spec.fit.holdout_every:  # it traces flat ground too
        return {"fit": asdict(spec.fit), "trace": asdict(spec.trace)}
    config = config_of(spec, stage)
    if config is None:
        return {}
    if isinstance(config, SegmentConfig):
        return _segment_identity(config)
    if isinstance(config, BaseModel):
        return config.model_dump(mode="json")
    assert is_dataclass(config)
    assert not isinstance(config, type)
    return asdict(config)


def _segment_identity(config: SegmentConfig) -> dict[str, Any]:
    record = asdict(config)
    if config.backend == "mask2former":
        folder = find_checkpoint(config.weights, allow_download=config.allow_download)
        record["weights"] = weights_digest(folder)
    elif config.backend == "mmseg":
        record["weights"] = find_files(Path(config.weights)).digest
    elif config.weights:
        weights = Path(config.weights)
        # An OpenVINO net is two files: the .xml beside a .bin of the same name.
        files = [path for path in (weights, weights.with_suffix(".bin")) if path.is_file()]
        if weights not in files:
            hint = "Give the path of the model file with segment.weights."
            raise ModelInvalid("the model file does not exist", where=config.weights, hint=hint)
        record["weights"] = [digest_file(path) for path in dict.fromkeys(files)]
    if config.class_map.endswith(".json") and Path(config.class_map).is_file():
        record["class_map"] = digest_file(Path(config.class_map))
    return record


def stage_key(stage: Stage, config: Any, parents: Mapping[str, str]) -> str:
    """Return the name of a stage's result: sha256 over stage, source code, settings and the parents' identities."""
    body = {"stage": stage.role, "code": code_digest(stage.code), "config": config, "parents": dict(parents)}
    return digest_json(body)


@cache
def code_digest(folders: tuple[str, ...]) -> str:
    """Return the sha256 over the Python and data files of source folders: other code never finds old results."""
    root = Path(__file__).parents[1]
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".py", ".json"))
    return digest_json({path.relative_to(root).as_posix(): digest_file(path) for path in paths})
