"""`roadscribe truth`: the true map of a drive as shards, to train with and to compare a model with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recon.artifact import digest_file
from recon.errors import InputInvalid, PathRefused
from service.cli.job_options import Changes, Format, Scene, Sweeps, label_spec
from service.cli.terminal import put


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(truth)


def truth(
    drive: Annotated[Path, typer.Argument(help="Folder of the drive.")],
    out: Annotated[Path, typer.Argument(help="New folder for the shards.")],
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="True map or GeoJSON file; default: the drive's own.", show_default=False),
    ] = None,
    format_: Format = "auto",
    scene: Scene = "",
    sweeps: Sweeps = False,
    changes: Changes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was packed as JSON.")] = False,
) -> None:
    """Crop the true map of a drive to one label per keyframe, everything known, and write shards of them.

    Settings of the sections crop and pack apply; class ids come from the drive's own id images.

    Example: roadscribe truth my_drive truth_shards --set pack.with_images=true
    """
    # These load OpenCV, and the other commands do without.
    from recon.formats.read_drive import read_drive
    from vectorize.evaluate.true_labels import true_labels
    from vectorize.labels.shard import pack
    from vectorize.labels.view_members import ids_of_drive
    from vectorize.truth.read_truth import NO_MAP, read_truth, truth_of

    spec = label_spec(
        drive,
        drive_format=format_,
        scene=scene,
        sweeps=sweeps,
        segmenter="id_images",
        weights=None,
        class_map="",
        holdout=0,
        changes=changes,
    )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PathRefused("the folder holds other files", where=str(out), hint="Name a new or empty folder.")
    log = read_drive(drive, format=format_, scene=scene, sweeps=sweeps)
    road_map = truth_of(log) if map_ is None else read_truth(map_, origin=log.origin).road_map
    if road_map is None:
        raise InputInvalid("the drive has no true map", where=str(drive), hint=NO_MAP)
    path = log.root / log.true_map if map_ is None else map_
    labels = true_labels(log, road_map, spec.crop, source=digest_file(path) if path.is_file() else str(path.name))
    ids_of = ids_of_drive(log) if spec.pack.with_ids else None
    manifest = pack(labels, log, spec.pack, out.absolute(), ids_of=ids_of)
    put(json.dumps(dict(manifest.meta)) if as_json else f"{manifest.meta['samples']} samples: {out}")
