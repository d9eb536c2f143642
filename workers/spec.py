"""What a job is: typed specs that nest the packages' own frozen configs and refuse unknown keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recon.artifact import digest_json
from recon.config import AlignConfig, BakeConfig, FitConfig, SegmentConfig, require
from recon.errors import ConfigInvalid
from recon.segment.checkpoint import shipped_net
from vectorize.config import CropConfig, PackConfig, TraceConfig

JOB_ID = "^[0-9A-Za-z-]{0,36}$"
STEM_LENGTH = 100  # with what formats add to it, the name of a file


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Job(_Spec):
    """What the service asks of a job before it runs: the files and the other jobs that it reads."""

    def input_paths(self) -> dict[str, str]:
        """Return JSON pointer -> path of every file or folder the job reads: each passes the gate of the roots."""
        return {}

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        assert not paths
        return self

    def input_jobs(self) -> dict[str, str]:
        """Return JSON pointer -> id of every job that must succeed before this one starts."""
        return {}


class DriveRef(_Spec):
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


class _Settings(_Job):
    """Settings of the stages that every job over drives has."""

    segment: SegmentConfig = SegmentConfig()
    fit: FitConfig = FitConfig()
    bake: BakeConfig = BakeConfig()
    trace: TraceConfig = TraceConfig()
    crop: CropConfig = CropConfig()
    pack: PackConfig = PackConfig()


class LabelJob(DriveRef, _Settings):
    """Turn one drive into pseudo labels."""

    kind: Literal["label"] = "label"

    def input_paths(self) -> dict[str, str]:
        """Return the drive and the files of the net."""
        return {"/drive": self.drive} | _net_paths(self.segment)

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        return self.model_copy(update={"drive": paths["/drive"], "segment": _with_net_paths(self.segment, paths)})


def _net_paths(segment: SegmentConfig, place: str = "") -> dict[str, str]:
    paths = {}
    shipped = segment.backend == "mask2former" and shipped_net(segment.weights)
    if segment.weights and not shipped:
        paths[f"{place}/segment/weights"] = segment.weights
    if segment.class_map.endswith(".json"):
        paths[f"{place}/segment/class_map"] = segment.class_map
    return paths


def _with_net_paths(segment: SegmentConfig, paths: Mapping[str, str], place: str = "") -> SegmentConfig:
    return replace(
        segment,
        weights=paths.get(f"{place}/segment/weights", segment.weights),
        class_map=paths.get(f"{place}/segment/class_map", segment.class_map),
    )


class AggregateJob(_Settings):
    """Turn several drives over one place into one site and pseudo labels for each of them."""

    kind: Literal["aggregate"] = "aggregate"
    drives: tuple[TripRef, ...] = Field(min_length=2, max_length=64)
    align: AlignConfig = AlignConfig()

    @model_validator(mode="after")
    def _no_holdout(self) -> Self:
        require(self.fit.holdout_every == 0, "fit.holdout_every: an aggregate job measures no held-out frames")
        return self

    def input_paths(self) -> dict[str, str]:
        """Return the drives and the files of the nets."""
        paths = _net_paths(self.segment)
        for i, one in enumerate(self.drives):
            paths[f"/drives/{i}/drive"] = one.drive
            paths |= _net_paths(one.segment, f"/drives/{i}") if one.segment else {}
        return paths

    def with_paths(self, paths: Mapping[str, str]) -> Self:
        """Return the job with other paths in the places that `input_paths` names."""
        drives = []
        for i, one in enumerate(self.drives):
            segment = _with_net_paths(one.segment, paths, f"/drives/{i}") if one.segment else None
            drives.append(one.model_copy(update={"drive": paths[f"/drives/{i}/drive"], "segment": segment}))
        segment = _with_net_paths(self.segment, paths)
        return self.model_copy(update={"drives": tuple(drives), "segment": segment})

    def input_jobs(self) -> dict[str, str]:
        """Return the label jobs among the trips."""
        return {f"/drives/{i}/job": one.job for i, one in enumerate(self.drives) if one.job}


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


class Origin(_Spec):
    """Where a drive's zero lies on Earth, if the drive itself does not say so."""

    latitude_deg: float = Field(ge=-85, le=85)
    longitude_deg: float = Field(ge=-180, le=180)
    altitude_m: float = Field(default=0.0, description="Metres above the ellipsoid.")


class ExportJob(_Job):
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


def file_stem(drive: str) -> str:
    """Return the name of a drive's folder or scene as the stem of a file."""
    name = PurePath(drive).name[:STEM_LENGTH]
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name) or "map"


class ProbeConfig(_Spec):
    """What the two stages of a probe do: `script` holds one action for each run of the second stage."""

    seconds: float = Field(default=0.0, ge=0.0, le=3600.0)
    size: int = Field(default=16, ge=0, le=1 << 30)  # bytes written by each stage
    script: tuple[Literal["ok", "invalid", "crash", "bug", "disk_full", "hang"], ...] = ()
    salt: str = ""  # makes one probe differ from another


class ProbeJob(_Job):
    """Exercise queue, pools and store without a drive: sleeps, fails or dies as told. For conformance tests."""

    kind: Literal["probe"] = "probe"
    probe: ProbeConfig = ProbeConfig()
    after: tuple[str, ...] = ()  # jobs to wait for

    def input_jobs(self) -> dict[str, str]:
        """Return the jobs to wait for."""
        return {f"/after/{i}": job for i, job in enumerate(self.after)}


Job: TypeAlias = LabelJob | AggregateJob | ExportJob | ProbeJob
JobSpec = Annotated[Job, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Job] = TypeAdapter(JobSpec)


def parse_spec(body: bytes | str) -> Job:
    """Return the spec in a JSON text; raises pydantic's ValidationError (with places) or ConfigInvalid (a range)."""
    # Strict: a number in quotes is the sender's mistake, not ours to guess away.
    spec = _ADAPTER.validate_json(body, strict=True)
    _refuse_nonfinite(spec.model_dump(), "")
    return spec


def stored_spec(text: str) -> Job:
    """Return the spec of a job that the ledger holds; raises ConfigInvalid when this version cannot read it."""
    try:
        return parse_spec(text)
    except (ValidationError, ConfigInvalid) as error:
        hint = "Submit it again."
        raise ConfigInvalid("another version of Roadscribe took the job", where="spec", hint=hint) from error


def _refuse_nonfinite(value: Any, place: str) -> None:
    """Raise ConfigInvalid for NaN and infinities: no range check written as a comparison finds them all."""
    if isinstance(value, dict):
        for name, entry in value.items():
            _refuse_nonfinite(entry, f"{place}.{name}" if place else name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigInvalid(f"{place} must be a finite number")


def pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON pointer of a pydantic error location, without the name of the union's branch."""
    parts = [str(part) for part in location]
    if parts and parts[0] in ("label", "aggregate", "export", "probe"):
        parts = parts[1:]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def parse_spec_file(text: str, where: str) -> Job:
    """Return the spec in a file's text; raises ConfigInvalid naming every fault."""
    try:
        return parse_spec(text)
    except ValidationError as error:
        faults = "; ".join(f"{pointer(e['loc']) or '/'}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigInvalid(faults, where=where, hint="See docs/api.md for the fields of a job.") from error


def spec_record(spec: Job) -> dict[str, Any]:
    """Return the spec as JSON with every default spelled out."""
    return spec.model_dump(mode="json")


def natural_key(spec: Job) -> str:
    """Return the digest by which two submissions are the same job."""
    return digest_json(spec_record(spec))
