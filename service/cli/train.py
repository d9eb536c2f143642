"""`roadscribe train`: an online-mapping model from shards."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from service.cli.stage_bars import StageBars
from service.cli.terminal import echo, put


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    config: Annotated[Path, typer.Argument(help="Settings: a TOML file, see docs/training.md.")],
    out: Annotated[
        Path, typer.Argument(help="Folder for the run: metrics, states, and the model in OUT/model.")
    ] = Path("train_out"),
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Folder of shards with images, or a snapshot: folder, URL at a service, or s3://. Repeatable.",
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", help="Held-out shards of other places; of a snapshot that split. Repeatable."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option("--init", help="Model to go on from: pretrained weights to fine-tune.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUT, or begin it.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that share every batch, by Ray Train; a GPU each.")
    ] = 1,
    ray_address: Annotated[
        str, typer.Option("--ray-address", help="Ray cluster of --workers; default: one on this machine.")
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. --set model.layers=2. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the model's folder and its scores as JSON.")] = False,
) -> None:
    """Train an online-mapping model; Ctrl-C or SIGTERM finishes the step and saves.

    OUT gets metrics.jsonl, TensorBoard events/, pictures/, state/ to resume from, and model/: the checkpoint for
    `roadscribe predict OUT/model DRIVE RESULT`.

    Example: roadscribe train tiny.toml run --data out_1/shards --data out_2/shards --validation out_3/shards
    """
    from training.mapper.config_file import read_config

    settings = read_config(config, changes or [], init=init)
    from training.engine.signals import stop_on_signals
    from training.mapper.train import train as run  # torch: only now
    from workers.cluster.ray_cluster import cluster_of

    folders = [[_folder(one) for one in named or []] for named in (data, validation)]
    with (
        TemporaryDirectory() as home,
        cluster_of(workers, Path(home), ray_address),
        stop_on_signals() as stopped,
        StageBars() as bars,
    ):
        model = run(
            out,
            settings,
            *folders,
            init=init,
            workers=workers,
            resume=resume,
            should_stop=stopped,
            tick=bars.only("train"),
            show=show_validation,
        )
    if stopped():
        echo("stopped after a whole step; the same command with --resume continues")
    put(json.dumps({"model": str(model)}) if as_json else f"Model: {model}")
    if stopped():
        raise typer.Exit(130)


def _folder(address: str) -> Path:
    """Return a folder of shards or a snapshot; one from elsewhere is copied here first, and verified."""
    if "://" not in address:
        return Path(address)
    from vectorize.datasets.snapshot_folder import local_copy

    with StageBars() as bars:
        return local_copy(address, bars.only("fetch"))


def show_validation(record: dict[str, Any]) -> None:
    """Print the mAP of a validation on stderr."""
    means = {name: record[name]["mean"]["chamfer"]["map"] for name in ("observed", "full_range")}
    shown = ", ".join(f"{'-' if v is None else format(v, '.3f')} ({n.replace('_', ' ')})" for n, v in means.items())
    classes = record["observed"]["classes"]
    aps = ", ".join(f"{n} {c['chamfer']['ap']:.2f}" for n, c in classes.items() if c["chamfer"]["ap"] is not None)
    echo(f"step {record['step']}: mAP {shown}; AP observed: {aps}")
