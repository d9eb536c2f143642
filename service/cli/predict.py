"""`roadscribe predict`: the map of a drive as a trained model sees it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.cli.job_options import Format, Scene, Sweeps
from service.cli.stage_bars import StageBars
from service.cli.table import print_report
from service.cli.terminal import put
from service.results import claim_folder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(predict)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder `model` that `roadscribe train` wrote.")],
    drive: Annotated[Path, typer.Argument(help="Folder of the drive.")],
    out: Annotated[Path, typer.Argument(help="Folder for the results: new, empty, or of an earlier run.")],
    format_: Format = "auto",
    scene: Scene = "",
    sweeps: Sweeps = False,
    least_score: Annotated[
        float, typer.Option("--least-score", min=0.0, max=1.0, help="Predictions below it are left out.")
    ] = 0.05,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where it computes.")] = "auto",
    camera: Annotated[
        list[str] | None, typer.Option("--camera", help="Use this camera, not those of the training. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
) -> None:
    """Predict the map of every keyframe with a trained model, and merge them into one map of the drive.

    OUT is like that of `roadscribe label`: map.geojson, shards/, pictures/ and report.json, so that `roadscribe
    evaluate OUT --truth DRIVE` measures it. OUT/results/ holds the result files of MapTR and StreamMapNet.

    Example: roadscribe predict run/model my_drive predicted
    """
    claim_folder(out)
    from recon.formats.read_drive import read_drive

    log = read_drive(drive, format=format_, scene=scene, sweeps=sweeps)
    from training.mapper.prediction_folder import predict_into  # torch: only now

    started = time.monotonic()
    job = {"kind": "predict", "drive": str(drive.resolve()), "format": format_, "scene": scene, "sweeps": sweeps}
    job |= {"model": str(model.resolve()), "least_score": least_score}
    job |= {"cameras": camera} if camera else {}
    with StageBars() as bars:
        report: dict[str, Any] = predict_into(
            model,
            log,
            out,
            job,
            device=device,
            cameras=camera or None,
            least_score=least_score,
            tick=bars.only("predict"),
        )
        seconds = time.monotonic() - started
        bars.show("stage.finished", {"stage": "predict", "index": 0, "count": 1, "seconds": seconds})
    if as_json:
        put(json.dumps(report))
        return
    print_report(report)
    put()
    put(f"Results: {out}")
