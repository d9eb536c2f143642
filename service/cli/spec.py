"""Options that describe a label job, shared by `label` and `submit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from recon.errors import ConfigInvalid
from workers.spec import LabelJob, parse_spec, pointer

Format = Annotated[str, typer.Option("--format", help="auto, drive_folder, kitti_raw, argoverse2, nuscenes.")]
Scene = Annotated[str, typer.Option("--scene", help="Scene of a nuScenes data root: NAME or VERSION/NAME.")]
Sweeps = Annotated[bool, typer.Option("--sweeps", help="Also read what nuScenes recorded between its keyframes.")]
Segmenter = Annotated[
    Literal["id_images", "openvino", "mask2former", "mmseg"],
    typer.Option("--segmenter", help="Where class ids come from: id PNGs of the drive, or a net."),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="Model file (.xml, .onnx, .pth) or checkpoint folder of the net.")
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
    """Return the job that the options describe; raises ConfigInvalid naming the option."""
    segment: dict[str, Any] = {"backend": segmenter}
    if weights:
        # What is no path here may be a hub id, which only means something as it stands.
        hub = segmenter == "mask2former" and not weights.exists()
        segment |= {"weights": str(weights if hub else weights.absolute())}
    if class_map:
        # A file is named for the service as it is for us; a shipped map is a bare name.
        segment |= {"class_map": str(Path(class_map).absolute()) if class_map.endswith(".json") else class_map}
    body: dict[str, Any] = {"kind": "label", "drive": str(drive.resolve()), "format": drive_format, "segment": segment}
    body |= {"scene": scene, "sweeps": sweeps}
    body |= {"fit": {"holdout_every": holdout}} if holdout else {}
    for change in changes or []:
        name, equals, text = change.partition("=")
        stage, dot, field = name.partition(".")
        if not (equals and dot):
            raise ConfigInvalid("expected STAGE.FIELD=VALUE", where=f"--set {change}", hint="E.g. fit.cell_m=0.05.")
        section = body.setdefault(stage, {})
        if not isinstance(section, dict):
            raise ConfigInvalid(f"{stage} is no stage", where=f"--set {change}")
        section[field] = _value(text)
    try:
        spec = parse_spec(json.dumps(body))
    except ValidationError as error:
        faults = "; ".join(f"{pointer(e['loc'])}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigInvalid(faults, hint="Settings and their ranges: recon/config.py, vectorize/config.py.") from None
    assert isinstance(spec, LabelJob)
    return spec


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
