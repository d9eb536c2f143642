"""The job `aggregate`: several drives over one place become one site, and pseudo labels for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from recon.config import AlignConfig, SegmentConfig, require
from workers.jobs.drives import DriveRef, DrivesJob, TripRef
from workers.jobs.job_spec import FindJob, SpecRefused, source_of
from workers.jobs.label import LabelJob
from workers.jobs.net import net_paths, with_net_paths
from workers.jobs.road_stages import BAKE, CROP, DRAW, INGEST, TRACE, fit_stage, pack_stage, segment_stage
from workers.stage import Stage, same


class AggregateJob(DrivesJob):
    """Turn several drives over one place into one site and pseudo labels for each of them."""

    kind: Literal["aggregate"] = "aggregate"
    drives: tuple[TripRef, ...] = Field(min_length=2, max_length=64)
    align: AlignConfig = AlignConfig()

    @model_validator(mode="after")
    def _no_holdout(self) -> Self:
        require(self.fit.holdout_every == 0, "fit.holdout_every: an aggregate job measures no held-out frames")
        return self

    def trips(self) -> tuple[DriveRef, ...]:
        """Return the drives of the job."""
        return self.drives

    def input_paths(self) -> dict[str, str]:
        """Return the drives and the files of the nets."""
        paths = net_paths(self.segment)
        for i, one in enumerate(self.drives):
            paths[f"/drives/{i}/drive"] = one.drive
            paths |= net_paths(one.segment, f"/drives/{i}") if one.segment else {}
        return paths

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        drives = []
        for i, one in enumerate(self.drives):
            segment = with_net_paths(one.segment, paths, f"/drives/{i}") if one.segment else None
            drives.append(one.model_copy(update={"drive": paths[f"/drives/{i}/drive"], "segment": segment}))
        segment = with_net_paths(self.segment, paths)
        return self.model_copy(update={"drives": tuple(drives), "segment": segment})

    def input_jobs(self) -> dict[str, str]:
        """Return the label jobs among the trips."""
        return {f"/drives/{i}/job": one.job for i, one in enumerate(self.drives) if one.job}

    def completed(self, find: FindJob) -> Self:
        """Return the job with the drives of its label jobs; raises SpecRefused for a drive that is named twice."""
        drives = tuple(_trip(i, one, find) for i, one in enumerate(self.drives))
        seen: dict[tuple[str, str], int] = {}
        for i, one in enumerate(drives):
            j = seen.setdefault((one.drive, one.scene), i)
            if j < i:  # better now than after the wait
                raise SpecRefused(f"this is the same drive as /drives/{j}", where=f"/drives/{i}")
        return self.model_copy(update={"drives": drives})

    def plan(self) -> tuple[Stage, ...]:
        """Return the stages that make one site of the drives."""
        trips = range(len(self.drives))

        def every(role: str) -> dict[str, str]:
            return same(*(f"{role} {t + 1}" for t in trips))

        plan = [_of_trip(INGEST, t, {}) for t in trips]
        plan += [_of_trip(segment_stage(self._segment(t)), t, {"ingest": f"ingest {t + 1}"}) for t in trips]
        plan.append(replace(ALIGN, parents=every("ingest") | every("segment")))
        # From here on a drive is the placed one: in the site's world, its poses corrected, empty if it was left out.
        plan += [_of_trip(PLACE, t, {"ingest": f"ingest {t + 1}"} | same("align")) for t in trips]
        plan.append(replace(fit_stage(self.fit), parents=every("place") | every("segment")))
        plan.append(BAKE)
        plan.append(replace(TRACE, parents=every("place") | same("bake")))
        plan += [_of_trip(CROP, t, {"ingest": f"place {t + 1}"} | same("bake", "trace")) for t in trips]
        for t in trips:
            parents = {"ingest": f"place {t + 1}", "crop": f"crop {t + 1}"} | same("align")
            pack = pack_stage(self.pack, parents, f"segment {t + 1}")
            plan.append(_of_trip(pack, t, pack.parents))
        plan.append(replace(DRAW, parents=every("place") | every("crop") | same("align", "fit", "bake", "trace")))
        return tuple(plan)

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"draw": ""} | {f"pack {t + 1}": f"shards/{t + 1}" for t in range(len(self.drives))}

    def config_of(self, stage: Stage) -> Any:
        """Return the settings of a stage; a trip may have its own net."""
        return self._segment(stage.trip) if stage.role == "segment" else super().config_of(stage)

    def _segment(self, trip: int) -> SegmentConfig:
        return self.drives[trip].segment or self.segment

    def config_identity(self, stage: Stage) -> Any:
        """Return the JSON form of what a stage reads of its job."""
        if stage.role == "place":  # it reads its own entry of the alignment, and writes down where the drive lies
            return {"trip": stage.trip, "drive": self.drives[stage.trip].drive}
        return super().config_identity(stage)

    @classmethod
    def sources(cls, record: Mapping[str, Any]) -> str:
        """Return the drives."""
        return " ".join(str(one.get("drive", "")) for one in record["drives"])


ALIGN = Stage(name="align", function="workers.stages.align:align", config="align", kind="Alignment")
PLACE = Stage(name="place", function="workers.stages.place:place", kind="DriveLog")


def _of_trip(stage: Stage, trip: int, parents: Mapping[str, str]) -> Stage:
    return replace(stage, name=f"{stage.name} {trip + 1}", parents=parents, trip=trip)


def _trip(index: int, one: TripRef, find: FindJob) -> TripRef:
    """Return a trip with what it takes from its label job; raises SpecRefused for a setting that differs from it."""
    if not one.job:
        return one
    place = f"/drives/{index}"
    source = source_of(one.job, f"{place}/job", (LabelJob,), find)
    taken = {name: getattr(source, name) for name in ("drive", "format", "scene", "sweeps", "segment")}
    for name in one.model_dump(exclude_defaults=True).keys() & taken.keys():
        # An answer of the service may be sent again; anything else would be quietly overruled.
        if getattr(one, name) != taken[name]:
            detail = "it comes from the job: leave it out, or name the drive without the job"
            raise SpecRefused(detail, where=f"{place}/{name}")
    return one.model_copy(update=taken)
