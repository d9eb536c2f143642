"""The job `train`: folders of shards become an online-mapping model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from recon.artifact import MANIFEST, digest_file, digest_json, read_manifest
from recon.errors import ConfigInvalid, ModelInvalid, storage_errors
from training.data.config import SourceConfig
from training.mapper.config import MapperConfig
from workers.jobs.job_spec import JOB_ID, FindJob, JobSpec, ReportOf, source_of
from workers.jobs.snapshot import SnapshotJob, stored
from workers.stage import Stage, StageRecord, same
from workers.store import NEWEST_SCHEMA, Store

SNAPSHOT = "snapshot"  # among the parents of the stage
SAVE_S = 20.0  # a step, and the time to write weights, their average and two moments of each
SAVE_TOGETHER_S = 60.0  # and the time in which Ray Train ends its workers

Folder = Annotated[str, Field(min_length=1, max_length=4096)]


class TrainJob(JobSpec):
    """Train an online-mapping model from shards."""

    kind: Literal["train"] = "train"
    snapshot: str = Field(default="", pattern=JOB_ID, description="Id of a snapshot job: train and validation split.")
    data: tuple[Folder, ...] = Field(default=(), max_length=4096, description="Folders of shards to learn from.")
    validation: tuple[Folder, ...] = Field(default=(), max_length=4096, description="Held-out folders of shards.")
    init: str = Field(default="", max_length=4096, description="Folder of a model whose weights it begins with.")
    workers: int = Field(default=1, ge=1, le=256, description="Processes that share every batch; a CPU or GPU each.")
    config: MapperConfig = MapperConfig()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.snapshot or self.data or self.config.data.sources):
            raise ValueError("give folders of shards as data, or a snapshot")
        return self

    def input_jobs(self) -> dict[str, str]:
        """Return the snapshot job."""
        return {"/snapshot": self.snapshot} if self.snapshot else {}

    def completed(self, find: FindJob) -> Self:
        """Return the job as it is; raises SpecRefused when `snapshot` is no snapshot job."""
        if self.snapshot:
            source_of(self.snapshot, "/snapshot", (SnapshotJob,), find)
        return self

    def earlier(self, report_of: ReportOf, store: Store) -> dict[str, StageRecord]:
        """Return the snapshot."""
        if not self.snapshot:
            return {}
        return {SNAPSHOT: stored(report_of(self.snapshot), "snapshot", "Snapshot", store)}

    def input_paths(self) -> dict[str, str]:
        """Return the folders of shards, the model to begin with, and the local weights of a backbone."""
        paths = {f"/data/{i}": folder for i, folder in enumerate(self.data)}
        paths |= {f"/validation/{i}": folder for i, folder in enumerate(self.validation)}
        paths |= {"/init": self.init} if self.init else {}
        for place, sources in (("data/sources", self.config.data.sources), ("validation", self.config.validation)):
            for i, source in enumerate(sources):
                paths |= {f"/config/{place}/{i}/folders/{j}": one for j, one in enumerate(source.folders)}
                paths |= {f"/config/{place}/{i}/pictures/{j}": one for j, one in enumerate(source.pictures)}
        weights = self.config.model.weights
        return paths | ({"/config/model/weights": weights} if weights not in ("", "imagenet") else {})

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""

        def moved(place: str, sources: tuple[SourceConfig, ...]) -> tuple[SourceConfig, ...]:
            return tuple(
                replace(
                    source,
                    folders=tuple(paths[f"/config/{place}/{i}/folders/{j}"] for j in range(len(source.folders))),
                    pictures=tuple(paths[f"/config/{place}/{i}/pictures/{j}"] for j in range(len(source.pictures))),
                )
                for i, source in enumerate(sources)
            )

        config = replace(
            self.config,
            data=replace(self.config.data, sources=moved("data/sources", self.config.data.sources)),
            validation=moved("validation", self.config.validation),
            model=replace(self.config.model, weights=paths.get("/config/model/weights", self.config.model.weights)),
        )
        changes = {
            "data": tuple(paths[f"/data/{i}"] for i in range(len(self.data))),
            "validation": tuple(paths[f"/validation/{i}"] for i in range(len(self.validation))),
            "init": paths.get("/init", ""),
            "config": config,
        }
        return self.model_copy(update=changes)

    def plan(self) -> tuple[Stage, ...]:
        """Return the one stage: it keeps its state between attempts, and saves when it is cancelled."""
        stage = Stage(
            name="train",
            function="workers.stages.training.train:train",
            parents=same(SNAPSHOT) if self.snapshot else {},
            kind="MapModel",
            resumes=True,
            grace_s=SAVE_S if self.workers == 1 else SAVE_TOGETHER_S,
            device=self.config.device,
            cpus=float(self.workers),
            gpus=0.0 if self.config.device == "cpu" else float(self.workers),
            ray_workers=self.workers if self.workers > 1 else 0,
            slimming="Use a smaller train.batch, more parts (train.accumulate; each normalises its own losses)",
        )
        return (stage,)

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"train": ""}

    def config_of(self, stage: Stage) -> TrainJob:
        """Return the whole job: its one stage reads all of it."""
        assert stage.role == "train"
        return self

    def config_identity(self, stage: Stage) -> Any:
        """Return the job in JSON form, with shards and models named by content instead of by path."""
        named = {place: _content(place, Path(path)) for place, path in self.input_paths().items()}
        # The snapshot is a parent, known by its content.
        return self.with_paths(named).model_dump(mode="json", exclude={"snapshot"})

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return the id of the snapshot job, and the folders of shards."""
        return " ".join(map(str, filter(None, (record.get("snapshot"), *record.get("data", ())))))


def _content(place: str, folder: Path) -> str:
    """Return the digest of a folder of shards, or of the files of a model; a typed error when it cannot be read."""
    with storage_errors(str(folder)):
        if place == "/config/model/weights" and folder.is_file():  # of an EfficientNet: all other models are folders
            return digest_json({"": digest_file(folder)})
        return _model_content(folder) if place in ("/init", "/config/model/weights") else _shards_content(folder)


def _model_content(folder: Path) -> str:
    files = sorted(path for path in folder.glob("*") if path.is_file())
    if not files:
        raise ModelInvalid("the folder holds no model", where=str(folder))
    return digest_json({path.name: digest_file(path) for path in files})


def _shards_content(folder: Path) -> str:
    # What reads shards loads OpenCV, which stays out of the executor: their manifests are enough.
    found = [path.parent for path in sorted(folder.rglob(MANIFEST)) if (path.parent / "index.parquet").is_file()]
    shown = [one for one in found if not any(part.startswith(".") for part in one.relative_to(folder).parts)]
    if not shown:
        raise ConfigInvalid("the folder holds no shards", where=str(folder))
    return digest_json([read_manifest(one, kind="Shard", schema=NEWEST_SCHEMA, verify=False).digest for one in shown])
