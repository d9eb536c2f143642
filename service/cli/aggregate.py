"""`roadscribe aggregate`: several drives over one place become one site, on this machine, without the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recon.errors import ConfigInvalid
from service.cli.job_options import (
    Changes,
    ClassMap,
    Format,
    Scenes,
    Segmenter,
    Sweeps,
    Weights,
    aggregate_spec,
    is_job_id,
)
from service.cli.local_job import run_here


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(aggregate)


def aggregate(
    out: Annotated[Path, typer.Argument(help="Folder for the results: new, empty, or of an earlier run.")],
    drives: Annotated[list[Path], typer.Argument(help="Folders of the drives, two or more; or one data root.")],
    format_: Format = "auto",
    scene: Scenes = None,
    sweeps: Sweeps = False,
    segmenter: Segmenter = "id_images",
    weights: Weights = None,
    class_map: ClassMap = "",
    changes: Changes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
) -> None:
    """Align several drives over one place, fit one surface to them, and label every drive's keyframes from it.

    OUT gets one map.geojson, pictures/ and report.json of the site, and shards/1, shards/2, ... of the drives in the
    order given. A drive that does not fit the others is left out; report.json gives the reason.

    Example: roadscribe aggregate site_out monday tuesday night_drive

    Scenes of one nuScenes data root: roadscribe aggregate site_out nuscenes --scene scene-0061 --scene scene-0103
    """
    for drive in drives:
        if is_job_id(str(drive)):
            hint = "Jobs are aggregated where they ran: roadscribe submit DRIVE_OR_JOB ..."
            raise ConfigInvalid("this is the id of a job", where=str(drive), hint=hint)
    spec = aggregate_spec(
        drives,
        drive_format=format_,
        scenes=scene,
        sweeps=sweeps,
        segmenter=segmenter,
        weights=weights,
        class_map=class_map,
        changes=changes,
    )
    run_here(spec, out, as_json=as_json)
