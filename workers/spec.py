"""What a job is: typed specs that nest the packages' own frozen configs and refuse unknown keys."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recon.artifact import digest_json
from recon.config import BakeConfig, FitConfig, SegmentConfig
from recon.errors import ConfigInvalid
from vectorize.config import CropConfig, PackConfig, TraceConfig


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabelJob(_Spec):
    """Turn one drive into pseudo labels."""

    kind: Literal["label"] = "label"
    drive: str = Field(min_length=1, max_length=4096, description="Folder of the drive on the service's machine.")
    format: Literal["auto", "drive_folder", "kitti_raw", "argoverse2", "nuscenes"] = "auto"
    scene: str = Field(default="", max_length=200, description="Scene of a nuScenes data root: NAME or VERSION/NAME.")
    sweeps: bool = Field(default=False, description="Also read what nuScenes recorded between its keyframes.")
    segment: SegmentConfig = SegmentConfig()
    fit: FitConfig = FitConfig()
    bake: BakeConfig = BakeConfig()
    trace: TraceConfig = TraceConfig()
    crop: CropConfig = CropConfig()
    pack: PackConfig = PackConfig()

    def input_paths(self) -> dict[str, str]:
        """Return JSON pointer -> path of every file or folder the job reads: each passes the gate of the roots."""
        paths = {"/drive": self.drive}
        if self.segment.weights:
            paths["/segment/weights"] = self.segment.weights
        if self.segment.class_map.endswith(".json"):
            paths["/segment/class_map"] = self.segment.class_map
        return paths


class ProbeConfig(_Spec):
    """What the two stages of a probe do: `script` holds one action for each run of the second stage."""

    seconds: float = Field(default=0.0, ge=0.0, le=3600.0)
    size: int = Field(default=16, ge=0, le=1 << 30)  # bytes written by each stage
    script: tuple[Literal["ok", "invalid", "crash", "bug", "disk_full", "hang"], ...] = ()
    salt: str = ""  # makes one probe differ from another


class ProbeJob(_Spec):
    """Exercise queue, pools and store without a drive: sleeps, fails or dies as told. For conformance tests."""

    kind: Literal["probe"] = "probe"
    probe: ProbeConfig = ProbeConfig()

    def input_paths(self) -> dict[str, str]:
        """Return nothing: a probe reads no file."""
        return {}


JobSpec = Annotated[LabelJob | ProbeJob, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[LabelJob | ProbeJob] = TypeAdapter(JobSpec)


def parse_spec(body: bytes | str) -> LabelJob | ProbeJob:
    """Return the spec in a JSON text; raises pydantic's ValidationError (with places) or ConfigInvalid (a range)."""
    # Strict: a number in quotes is the sender's mistake, not ours to guess away.
    spec = _ADAPTER.validate_json(body, strict=True)
    _refuse_nonfinite(spec.model_dump(), "")
    return spec


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
    if parts and parts[0] in ("label", "probe"):
        parts = parts[1:]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def parse_spec_file(text: str, where: str) -> LabelJob | ProbeJob:
    """Return the spec in a file's text; raises ConfigInvalid naming every fault."""
    try:
        return parse_spec(text)
    except ValidationError as error:
        faults = "; ".join(f"{pointer(e['loc']) or '/'}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigInvalid(faults, where=where, hint="See docs/api.md for the fields of a job.") from error


def spec_record(spec: LabelJob | ProbeJob) -> dict[str, Any]:
    """Return the spec as JSON with every default spelled out."""
    return spec.model_dump(mode="json")


def natural_key(spec: LabelJob | ProbeJob) -> str:
    """Return the digest by which two submissions are the same job."""
    return digest_json(spec_record(spec))
