"""`roadscribe label`: a whole job on this machine, without the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.job_options import Changes, ClassMap, Format, Holdout, Scene, Segmenter, Sweeps, Weights, label_spec
from service.cli.local_job import run_here


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(label)


def label(
    drive: Annotated[Path, typer.Argument(help="Folder of the drive.")],
    out: Annotated[Path, typer.Argument(help="Folder for the results: new, empty, or of an earlier run.")],
    format_: Format = "auto",
    scene: Scene = "",
    sweeps: Sweeps = False,
    segmenter: Segmenter = "id_images",
    weights: Weights = None,
    class_map: ClassMap = "",
    holdout: Holdout = 0,
    changes: Changes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
) -> None:
    """Label one drive on this machine.

    OUT gets map.geojson, shards/, pictures/ and report.json. Finished stages are kept in OUT, so that the same
    command continues after an interruption and skips what is done.

    Example: roadscribe label my_drive out --segmenter openvino --weights road-segmentation-adas-0001.xml
    """
    spec = label_spec(
        drive,
        drive_format=format_,
        scene=scene,
        sweeps=sweeps,
        segmenter=segmenter,
        weights=weights,
        class_map=class_map,
        holdout=holdout,
        changes=changes,
    )
    run_here(spec, out, as_json=as_json)
