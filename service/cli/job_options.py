"""Options that describe a job, shared by `label`, `aggregate` and `submit`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError

from recon.config import apply_change
from recon.errors import ConfigInvalid
from workers.jobs.aggregate import AggregateJob
from workers.jobs.job_spec import JobSpec
from workers.jobs.kinds import kind_called
from workers.jobs.label import LabelJob
from workers.jobs.snapshot import SnapshotJob
from workers.spec import faults_of, parse_spec, pointer

UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")  # pydantic's faults of a name that is no setting
MOST_NEAR = 3  # names in a hint

AnyJob = TypeVar("AnyJob", bound=JobSpec)
Format = Annotated[str, typer.Option("--format", help="auto, drive_folder, kitti_raw, argoverse2, nuscenes.")]
Scene = Annotated[str, typer.Option("--scene", help="Scene of a nuScenes data root: NAME or VERSION/NAME.")]
Scenes = Annotated[
    list[str] | None,
    typer.Option("--scene", help="Scene of a nuScenes data root: NAME or VERSION/NAME. Several are trips. Repeatable."),
]
Sweeps = Annotated[bool, typer.Option("--sweeps", help="Also read what nuScenes recorded between its keyframes.")]
Segmenter = Annotated[
    Literal["id_images", "openvino", "mask2former", "mmseg"],
    typer.Option("--segmenter", help="Where class ids come from: id PNGs of the drive, or a net."),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="Model file (.xml, .onnx, .pth), checkpoint folder, or a shipped net.")
]
ClassMap = Annotated[str, typer.Option("--class-map", help="Shipped class map, or a path to a JSON file.")]
Holdout = Annotated[
    int, typer.Option("--holdout", min=0, help="Leave every N-th frame out of the fit and measure there.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of a stage, e.g. --set fit.cell_m=0.05. Repeatable."),
]


def label_spec(
    drive: Path,
    *,
    drive_format: str,
    scene: str,
    sweeps: bool,
    segmenter: str,
    weights: Path | None,
    class_map: str,
    holdout: int,
    changes: list[str] | None,
) -> LabelJob:
    """Return the label job that the options describe; raises ConfigInvalid naming the option."""
    where = {"drive": str(drive.resolve()), "format": drive_format, "scene": scene, "sweeps": sweeps}
    body: dict[str, Any] = {"kind": "label", **where, "segment": _net(segmenter, weights, class_map)}
    body |= {"fit": {"holdout_every": holdout}} if holdout else {}
    return _parsed(LabelJob, body, changes)


def aggregate_spec(
    trips: Sequence[str | Path],
    *,
    drive_format: str,
    scenes: list[str] | None,
    sweeps: bool,
    segmenter: str,
    weights: Path | None,
    class_map: str,
    changes: list[str] | None,
) -> AggregateJob:
    """Return the aggregate job that the options describe; raises ConfigInvalid naming the option.

    A trip is a drive's folder, or the id of a label job; scenes are trips through one data root.
    """
    where: list[dict[str, Any]] = []
    for trip in trips:
        if is_job_id(str(trip)):
            where.append({"job": str(trip)})
        else:
            drive = {"drive": str(Path(trip).resolve()), "format": drive_format, "sweeps": sweeps}
            where += [drive | {"scene": scene} for scene in scenes or [""]]
    if scenes and len(trips) > 1:
        hint = "Scenes are trips through one data root: name that folder alone."
        raise ConfigInvalid(f"--scene with {len(trips)} drives", where="--scene", hint=hint)
    net = _net(segmenter, weights, class_map)
    if all("job" in trip for trip in where) and (net != {"backend": "id_images"} or drive_format != "auto" or sweeps):
        hint = "Label jobs bring their own: leave out --format, --sweeps, --segmenter, --weights and --class-map."
        raise ConfigInvalid("these options are for drives, and only jobs are named", where=str(trips[0]), hint=hint)
    return _parsed(AggregateJob, {"kind": "aggregate", "drives": where, "segment": net}, changes)


def snapshot_spec(name: str, jobs: Sequence[str], extends: str, changes: list[str] | None) -> SnapshotJob:
    """Return the snapshot job that the options describe; raises ConfigInvalid naming the option."""
    return _parsed(SnapshotJob, {"kind": "snapshot", "dataset": name, "jobs": list(jobs), "extends": extends}, changes)


def site_spec(changes: list[str] | None) -> AggregateJob:
    """Return an aggregate job with these settings, and drives to be replaced; raises ConfigInvalid."""
    drives = [{"drive": f"/{number}"} for number in (1, 2)]
    return _parsed(AggregateJob, {"kind": "aggregate", "drives": drives}, changes)


def changes_of(
    kind: type[JobSpec], changes: list[str] | None, *, or_of_none_of: Sequence[type[JobSpec]] = ()
) -> list[str]:
    """Return the changes of a kind of job, by the names of its sections.

    One job has to refuse the changes that belong nowhere: `or_of_none_of` are the other kinds that share the changes.
    """

    def meant(change: str) -> bool:
        section = change.partition("=")[0].partition(".")[0]
        if section in kind.model_fields:
            return True
        return bool(or_of_none_of) and not any(section in other.model_fields for other in or_of_none_of)

    return [change for change in changes or [] if meant(change)]


def is_job_id(text: str) -> bool:
    """Return whether a text is the id of a job, and no folder that happens to be called so."""
    try:
        return str(uuid.UUID(text)) == text and not Path(text).exists()
    except ValueError:
        return False


def sources_of(spec: Mapping[str, Any]) -> str:
    """Return what a submitted job reads, as one text: its drives, or the job it exports."""
    kind = kind_called(str(spec.get("kind")))
    return kind.sources(spec) if kind else ""


def _net(segmenter: str, weights: Path | None, class_map: str) -> dict[str, Any]:
    """Return the section `segment` of a job."""
    segment: dict[str, Any] = {"backend": segmenter}
    if weights:
        # What is no path here may be a hub id or a shipped net, which only mean something as they stand.
        name = segmenter == "mask2former" and not weights.exists()
        segment |= {"weights": str(weights if name else weights.absolute())}
    if class_map:
        # A file is named for the service as it is for us; a shipped map is a bare name.
        segment |= {"class_map": str(Path(class_map).absolute()) if class_map.endswith(".json") else class_map}
    return segment


def _parsed(kind: type[AnyJob], body: dict[str, Any], changes: list[str] | None) -> AnyJob:
    """Return a job of `kind`; raises ConfigInvalid naming the option."""
    for change in changes or []:
        name, equals, _ = change.partition("=")
        if not equals or "." not in name:
            raise ConfigInvalid("expected STAGE.FIELD=VALUE", where=f"--set {change}", hint="E.g. fit.cell_m=0.05.")
        apply_change(body, change)
    try:
        spec = parse_spec(json.dumps(body))
    except ValidationError as error:
        near = " or ".join(_near_names(kind, error))
        hint = f"Did you mean {near}? " if near else ""
        hint += "Settings and their ranges: recon/config.py, vectorize/config.py, vectorize/trace_config.py."
        raise ConfigInvalid(faults_of(error), hint=hint) from None
    assert isinstance(spec, kind)
    return spec


def _near_names(kind: type[JobSpec], error: ValidationError) -> list[str]:
    """Return the settings that are spelled like the unknown ones of a job, or have their name in another section."""
    defaults = {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}
    names = list(
        _names({name: asdict(p) for name, p in defaults.items() if is_dataclass(p) and not isinstance(p, type)})
    )
    found: dict[str, None] = {}
    for fault in error.errors(include_url=False):
        if fault["type"] in UNKNOWN:
            wrong = pointer(fault["loc"]).strip("/").replace("/", ".")
            last = wrong.rpartition(".")[2]
            found |= dict.fromkeys(name for name in names if name.rpartition(".")[2] == last)
            found |= dict.fromkeys(get_close_matches(wrong, names, n=2, cutoff=0.8))
    return list(found)[:MOST_NEAR]


def _names(sections: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the dotted name of every section and setting."""
    for name, value in sections.items():
        yield before + name
        if isinstance(value, Mapping):
            yield from _names(value, f"{before}{name}.")
