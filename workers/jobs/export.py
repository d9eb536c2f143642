"""The job `export`: the result of a label or aggregate job in the format of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias, get_args

from pydantic import Field

from recon.errors import ArtifactForeign, ConfigInvalid
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import STEM_LENGTH, file_stem
from workers.jobs.job_spec import JOB_ID, FindJob, JobSpec, ReportOf, Spec, SpecRefused, source_of
from workers.jobs.label import LabelJob
from workers.stage import Stage, StageRecord, same, stored_record
from workers.store import Store

ExportFormat: TypeAlias = Literal[
    "geopackage",
    "geoparquet",
    "lanelet2",
    "maptr",
    "maptrv2",
    "streammapnet",
    "nuscenes",
    "argoverse2",
    "geotiff",
    "ply",
]
EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)


class Origin(Spec):
    """Where the origin of a drive lies on Earth, if the drive does not state it."""

    latitude_deg: float = Field(ge=-85, le=85)
    longitude_deg: float = Field(ge=-180, le=180)
    altitude_m: float = Field(default=0.0, description="Metres above the ellipsoid.")


class ExportJob(JobSpec):
    """Write the result of a label or aggregate job in the format of another tool."""

    kind: Literal["export"] = "export"
    job: str = Field(min_length=1, pattern=JOB_ID, description="Id of a label or aggregate job.")
    format: ExportFormat
    trip: int = Field(default=1, ge=1, le=64, description="Of an aggregate job: whose labels and poses, from 1.")
    origin: Origin | None = None
    name: str = Field(
        default="", max_length=STEM_LENGTH, pattern="^[A-Za-z0-9_-]*$", description="Stem of the files' names."
    )

    def input_jobs(self) -> dict[str, str]:
        """Return the job whose result is written."""
        return {"/job": self.job}

    def completed(self, find: FindJob) -> Self:
        """Return the job with the name of its files; raises SpecRefused for a trip that the other job does not have."""
        source = source_of(self.job, "/job", (LabelJob, AggregateJob), find)
        trips = source.trips()
        if self.trip > len(trips):
            raise SpecRefused(f"that job has {len(trips)} trips", where="/trip")
        return self.model_copy(update={"name": self.name or file_stem(trips[0].scene or trips[0].drive)})

    def plan(self) -> tuple[Stage, ...]:
        """Return the one stage; its parents are the artifacts of another job, by kind."""
        parents = same(*ARTIFACT_STAGES)
        return (Stage(name="export", function="workers.stages.export:export", parents=parents, kind="Export"),)

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"export": ""}

    def config_of(self, stage: Stage) -> ExportJob:
        """Return the whole job: its one stage reads format, origin and name."""
        assert stage.role == "export"
        return self

    def earlier(self, report_of: ReportOf, store: Store) -> dict[str, StageRecord]:
        """Return the artifacts of the other job by kind."""
        return artifacts_of(report_of(self.job), store, self.trip)

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return the format, and the id of the other job."""
        return f"{record['format']} of {record['job']}"


# Of which stages of a finished job an export is made: the first that the job has.
ARTIFACT_STAGES = {
    "DriveLog": ("place", "ingest"),
    "RoadSurface": ("fit",),
    "BevMap": ("bake",),
    "RoadMap": ("trace",),
    "LabelSet": ("crop",),
}


def artifacts_of(report: Mapping[str, Any], store: Store, trip: int = 1) -> dict[str, StageRecord]:
    """Return kind -> artifact of a finished job, of an aggregate job those of one trip.

    `report` is the job's report.json. Raises ConfigInvalid for a trip the job does not have, ArtifactForeign for a
    report of something else, or when the store no longer holds what it names.
    """
    stages = report.get("stages")
    keys = {one.get("name"): one.get("key") for one in stages if isinstance(one, dict)} if stages else {}
    found = {}
    for kind, roles in ARTIFACT_STAGES.items():
        role = next((role for role in roles if role in keys or f"{role} 1" in keys), "")
        if not role:
            raise ArtifactForeign(f"the report names no {kind}", hint="Name the result of a label or aggregate job.")
        name = role if role in keys else f"{role} {trip}"
        if name not in keys or (trip > 1 and "ingest" in keys):
            raise ConfigInvalid(f"the result has no trip {trip}", where="trip", hint="Count the drives from 1.")
        manifest = store.find(role, str(keys[name]), kind)
        if manifest is None:
            hint = "Run the job again where this store is: what it still holds is skipped."
            raise ArtifactForeign(f"the {kind} of this result is not here", where=str(store.home), hint=hint)
        found[kind] = stored_record(store, name, role, str(keys[name]), manifest)
    return found
