"""The job `snapshot`: the shards of label and aggregate jobs become an immutable snapshot of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from recon.errors import ArtifactForeign
from vectorize.datasets.config import FilterConfig, SnapshotConfig, SplitConfig
from workers.jobs.aggregate import AggregateJob
from workers.jobs.job_spec import JOB_ID, FindJob, JobSpec, ReportOf, SpecRefused, source_of
from workers.jobs.label import LabelJob
from workers.stage import Stage, StageRecord, same, stored_record
from workers.store import Store

DATASET = "^[a-z0-9][a-z0-9._-]{0,63}$"
BASE = "base"  # the snapshot that is extended, among the parents of the stage
SOURCES = (LabelJob, AggregateJob)

JobId = Annotated[str, Field(min_length=1, pattern=JOB_ID)]


class SnapshotJob(JobSpec):
    """Publish the shards of label and aggregate jobs as the next snapshot of a dataset."""

    kind: Literal["snapshot"] = "snapshot"
    dataset: str = Field(pattern=DATASET, description="Name of the dataset; its first snapshot makes it.")
    jobs: tuple[JobId, ...] = Field(min_length=1, max_length=10_000, description="Ids of label and aggregate jobs.")
    trips: tuple[int, ...] = Field(default=(), description="Drives of each of the jobs; the service writes them.")
    extends: str = Field(default="", pattern=JOB_ID, description="Id of the snapshot job whose samples are kept.")
    splits: SplitConfig = SplitConfig()
    filters: FilterConfig = FilterConfig()

    def input_jobs(self) -> dict[str, str]:
        """Return the jobs whose shards are published, and the snapshot that is extended."""
        jobs = {f"/jobs/{i}": job for i, job in enumerate(self.jobs)}
        return jobs | ({"/extends": self.extends} if self.extends else {})

    def completed(self, find: FindJob) -> Self:
        """Return the job with the number of drives of its jobs.

        Raises SpecRefused for a job that is named twice or has no shards, and for another name or other splits than
        those of the snapshot that it extends.
        """
        trips = [len(source_of(job, f"/jobs/{i}", SOURCES, find).trips()) for i, job in enumerate(self.jobs)]
        twice = next((i for i, job in enumerate(self.jobs) if job in self.jobs[:i]), None)
        if twice is not None:
            raise SpecRefused("this job is named twice", where=f"/jobs/{twice}")
        if self.extends:
            base = source_of(self.extends, "/extends", (SnapshotJob,), find)
            for name in ("dataset", "splits"):
                if getattr(base, name) != getattr(self, name):
                    raise SpecRefused("the snapshot that is extended has another one", where=f"/{name}")
        return self.model_copy(update={"trips": tuple(trips)})

    def plan(self) -> tuple[Stage, ...]:
        """Return the one stage; its parents are artifacts of other jobs."""
        parents = same(*(f"shards {n + 1}" for n in range(sum(self.trips))), *([BASE] if self.extends else []))
        return (
            Stage(
                name="snapshot", function="workers.stages.datasets.snapshot:snapshot", parents=parents, kind="Snapshot"
            ),
        )

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"snapshot": ""}

    def config_of(self, stage: Stage) -> SnapshotConfig:
        """Return the settings of the snapshot."""
        assert stage.role == "snapshot"
        return SnapshotConfig(dataset=self.dataset, splits=self.splits, filters=self.filters)

    def earlier(self, report_of: ReportOf, store: Store) -> dict[str, StageRecord]:
        """Return the shards of the other jobs in their order, and the snapshot that is extended."""
        found = []
        for job, trips in zip(self.jobs, self.trips, strict=True):
            report = report_of(job)
            names = [str(one["name"]) for one in report["stages"] if one["name"].partition(" ")[0] == "pack"]
            assert len(names) == trips  # in the order of the plan
            found += [stored(report, name, "Shard", store) for name in names]
        records = {f"shards {n + 1}": one for n, one in enumerate(found)}
        if self.extends:
            records[BASE] = stored(report_of(self.extends), "snapshot", "Snapshot", store)
        return records

    def extended(self) -> str:
        """Return the id of the snapshot job that this one extends."""
        return self.extends

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return the name of the dataset."""
        return str(record["dataset"])


def stored(report: Mapping[str, Any], name: str, kind: str, store: Store) -> StageRecord:
    """Return the result of a stage of a finished job; raises ArtifactForeign when the store no longer holds it."""
    key = next((str(one["key"]) for one in report["stages"] if one["name"] == name), "")
    role = name.partition(" ")[0]
    manifest = store.find(role, key, kind) if key else None
    if manifest is None:
        hint = "Run that job again: what the store still holds is skipped."
        raise ArtifactForeign(f"the {kind} of a job is no longer in the store", where=name, hint=hint)
    return stored_record(store, name, role, key, manifest)
