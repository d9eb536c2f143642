"""The job `label`: one drive becomes pseudo labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from workers.jobs.drives import DriveRef, DrivesJob
from workers.jobs.net import net_paths, with_net_paths
from workers.jobs.road_stages import BAKE, CROP, DRAW, INGEST, PACK, TRACE, fit_stage, pack_stage, segment_stage
from workers.stage import Stage


class LabelJob(DriveRef, DrivesJob):
    """Turn one drive into pseudo labels."""

    kind: Literal["label"] = "label"

    def trips(self) -> tuple[DriveRef, ...]:
        """Return the drive of the job."""
        return (self,)

    def input_paths(self) -> dict[str, str]:
        """Return the drive and the files of the net."""
        return {"/drive": self.drive} | net_paths(self.segment)

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        return self.model_copy(update={"drive": paths["/drive"], "segment": with_net_paths(self.segment, paths)})

    def plan(self) -> tuple[Stage, ...]:
        """Return the stages from the drive to shards and pictures."""
        pack = pack_stage(self.pack, PACK.parents)
        return (INGEST, segment_stage(self.segment), fit_stage(self.fit), BAKE, TRACE, CROP, pack, DRAW)

    def publishes(self) -> dict[str, str]:
        """Return stage -> folder of the result."""
        return {"draw": "", "pack": "shards"}
