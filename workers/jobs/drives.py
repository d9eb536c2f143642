"""What jobs over drives share: how a drive is named and the settings of their stages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from recon.config import BakeConfig, FitConfig, SegmentConfig
from vectorize.config import CropConfig, PackConfig
from vectorize.trace_config import TraceConfig
from workers.jobs.job_spec import JOB_ID, JobSpec, Spec
from workers.jobs.net import segment_identity
from workers.stage import Stage

FEWEST_TILE_CELLS = 100_000  # 130 MB: less hardly saves memory, and tiles have halos
STEM_LENGTH = 100  # with what formats add to it, the name of a file


class DriveRef(Spec):
    """Where a drive lies and how it is read."""

    drive: str = Field(min_length=1, max_length=4096, description="Folder of the drive on the service's machine.")
    format: Literal["auto", "drive_folder", "kitti_raw", "argoverse2", "nuscenes"] = "auto"
    scene: str = Field(default="", max_length=200, description="Scene of a nuScenes data root: NAME or VERSION/NAME.")
    sweeps: bool = Field(default=False, description="Also read what nuScenes recorded between its keyframes.")


class TripRef(DriveRef):
    """One trip of a site: a drive, or a label job, which stands for its drive and its labelled images."""

    drive: str = Field(default="", max_length=4096, description="Folder of the drive on the service's machine.")
    job: str = Field(default="", pattern=JOB_ID, description="Id of a label job; the other fields come from it.")
    segment: SegmentConfig | None = Field(default=None, description="Settings of this trip; default: the job's.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.drive or self.job):
            raise ValueError("give a drive, or a label job as job")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawSettings:
    """What the stage draw reads: the frames that the fit held out, and how flat ground is traced there."""

    fit: FitConfig
    trace: TraceConfig


class DrivesJob(JobSpec):
    """A job over drives, with the settings of its stages."""

    segment: SegmentConfig = SegmentConfig()
    fit: FitConfig = FitConfig()
    bake: BakeConfig = BakeConfig()
    trace: TraceConfig = TraceConfig()
    crop: CropConfig = CropConfig()
    pack: PackConfig = PackConfig()

    def trips(self) -> tuple[DriveRef, ...]:
        """Return the drives of the job."""
        raise NotImplementedError

    def lighter(self) -> Self:
        """Return the job with smaller tiles and batches."""
        tile_cells = max(FEWEST_TILE_CELLS, self.fit.tile_cells // 2)
        fit = replace(self.fit, tile_cells=min(self.fit.tile_cells, tile_cells))
        segment = replace(self.segment, batch=max(1, self.segment.batch // 2))
        return self.model_copy(update={"fit": fit, "segment": segment})

    def config_of(self, stage: Stage) -> Any:
        """Return the settings of a stage: the drive itself for ingest, and two configs for draw."""
        if stage.role == "ingest":
            return self.trips()[stage.trip]
        if stage.role == "draw":
            return DrawSettings(fit=self.fit, trace=self.trace)
        return super().config_of(stage)

    def config_identity(self, stage: Stage) -> Any:
        """Return the JSON form of what a stage reads of its job, with files named by content instead of by path."""
        if not stage.cached:  # its key only names the work folder
            return {"spec": self.model_dump(mode="json"), "trip": stage.trip}
        if stage.role == "segment":
            return segment_identity(self.config_of(stage))
        if stage.role == "draw" and not self.fit.holdout_every:  # without held-out frames nothing is traced
            return asdict(self.fit)
        return super().config_identity(stage)


def file_stem(drive: str) -> str:
    """Return the name of a drive's folder or scene as the stem of a file."""
    name = PurePath(drive).name[:STEM_LENGTH]
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name) or "map"
