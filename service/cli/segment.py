"""`roadscribe segment`: train a segmenter on your own images, and measure one."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recon.config import SegmentConfig, value_of
from recon.errors import ConfigInvalid
from service.cli.demo import write_city
from service.cli.stage_bars import StageBars
from service.cli.terminal import echo, put

DATA = typer.Option("--data", help="Drive with id images, Mapillary Vistas, or images/ and ids/. Repeatable.")
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

STEPS = 8000  # TrainConfig().steps: the help must not import the training
UNSEEN_SEED = 5000  # no shipped net was trained or chosen on drives of these seeds: its model card names its own

segment = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    text = """Train a segmenter on your own images, or measure one. Both commands take --json.

    Example: roadscribe segment train net_out --data drive_1 --data drive_2 --validation drive_3
    """
    app.add_typer(segment, name="segment", help=text)


@segment.command()
def train(
    out: Annotated[Path, typer.Argument(help="Folder for the run: metrics, states, and the net in OUT/net.")],
    data: Annotated[list[Path], DATA],
    validation: Annotated[
        list[Path] | None, typer.Option("--validation", help="Held-out data of the same kinds. Repeatable.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps in all.")] = STEPS,
    start_from: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint folder to fine-tune; else the small preset.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUT, or begin it.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. --set batch=8. Repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a Mask2Former on images with ids; Ctrl-C or SIGTERM finishes the step and saves.

    OUT gets metrics.jsonl, TensorBoard events/, pictures/, state/ to resume from, and net/: a checkpoint for
    `roadscribe label DRIVE OUT --segmenter mask2former --weights OUT/net`.

    Example: roadscribe segment train net_out --data drive_1 --validation drive_2 --steps 8000 --resume
    """
    config = _config({"steps": steps} | ({"start_from": str(start_from)} if start_from else {}), changes or [])
    from training.segmenter.sources import open_source

    training, held_out = [open_source(path) for path in data], [open_source(path) for path in validation or []]
    counts = [sum(len(source.images) for source in sources) for sources in (training, held_out)]
    echo(f"{counts[0]} images to learn from, {counts[1]} held out")
    from training.engine.signals import stop_on_signals
    from training.segmenter.train import train as run  # torch and transformers: only now

    with stop_on_signals() as stopped, StageBars() as bars:
        net = run(
            out,
            config,
            training,
            held_out,
            resume=resume,
            should_stop=stopped,
            tick=bars.only("train"),
            show=_show_validation,
        )
    if stopped():
        echo("stopped after a whole step; the same command with --resume continues")
    put(json.dumps({"net": str(net)}) if as_json else f"Net: {net}")
    if stopped():
        raise typer.Exit(130)


@segment.command()
def evaluate(
    weights: Annotated[str, typer.Argument(help="Checkpoint folder, or demo_city: the net that is shipped.")],
    data: Annotated[list[Path] | None, DATA] = None,
    city: Annotated[
        int, typer.Option("--city", min=0, help="Drives of the demo city per condition, unseen seeds, written for it.")
    ] = 0,
    images: Annotated[int, typer.Option("--images", min=1, help="At most so many, spread over all data.")] = 100_000,
    size: Annotated[str, typer.Option("--size", metavar="WxH", help="Another working size, e.g. 640x352.")] = "",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where it computes.")] = "auto",
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="What it computes in; bfloat16 is faster where the processor supports it."),
    ] = "float32",
    as_json: AsJson = False,
) -> None:
    """Measure a net on images with ids: IoU per class and condition, and images per second.

    Example: roadscribe segment evaluate net_out/net --data drive_3

    Example: roadscribe segment evaluate demo_city --city 4
    """
    if not (data or city):
        raise ConfigInvalid("there is nothing to measure on", where="--data", hint="Give --data DRIVE or --city 4.")
    size_px = _size(size) if size else None
    config = SegmentConfig(backend="mask2former", weights=weights, size_px=size_px, device=device, dtype=dtype)
    with tempfile.TemporaryDirectory(prefix="roadscribe-city-") as scratch:
        record = _measure(config, [*(data or []), *_city_drives(Path(scratch), city)], images)
    if as_json:
        put(json.dumps(record))
    else:
        _print(record)


def _city_drives(folder: Path, count: int) -> list[Path]:
    """Write `count` drives per condition through streets that no shipped net was trained on, and return them."""
    drives = []
    for number in range(count):
        for place, condition in enumerate(("day", "dusk", "night", "wet")):
            seed = UNSEEN_SEED + 10 * number + place
            drive = folder / f"city-{seed}-{condition}"
            settings = {"seed": seed, "condition": condition, "frames": 5, "spacing_m": 20.0, "with_lidar": False}
            write_city(drive, settings | {"width_px": 512, "height_px": 288})
            drives.append(drive)
    return drives


def _measure(config: SegmentConfig, data: list[Path], images: int) -> dict[str, Any]:
    """Return the record of each condition, that of all images first."""
    from recon.segment.mask2former import Mask2Former
    from training.segmenter.score import score_of, spread
    from training.segmenter.sources import open_source

    items = spread([open_source(path) for path in data], images)
    done = 0
    with StageBars() as bars:
        tick = bars.only("evaluate")

        def each() -> None:
            nonlocal done
            done += 1
            tick(done, len(items), "images")

        scores = score_of(Mask2Former(config), items, each)
    return {condition or "all": score.record() for condition, score in scores.items()}


def _config(given: dict[str, Any], changes: list[str]) -> Any:
    """Return the TrainConfig of `given` and of NAME=VALUE changes; ConfigInvalid."""
    from training.segmenter.config import TrainConfig  # a package that most commands never need

    known = {field.name for field in fields(TrainConfig)}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in known:
            hint = f"Settings: {', '.join(sorted(known))}."
            raise ConfigInvalid("expected NAME=VALUE of a known setting", where=f"--set {change}", hint=hint)
        value = value_of(text)
        given[name] = tuple(value) if isinstance(value, list) else value
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(TrainConfig).validate_python(given)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise ConfigInvalid(faults, where="--set") from None


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigInvalid(f"expected WIDTHxHEIGHT, got {text!r}", where="--size", hint="E.g. 512x288.")
    return int(width), int(height)


def _show_validation(record: dict[str, Any]) -> None:
    parts = [f"{name} {value['road_mean_iou']:.3f}" for name, value in record.items() if name != "step"]
    classes = ", ".join(f"{name.lower()} {value:.2f}" for name, value in record["all"]["iou"].items())
    echo(f"step {record['step']}: mean IoU {', '.join(parts)} ({classes})")


def _print(record: dict[str, Any]) -> None:
    names = list(record["all"]["iou"])
    put(f"{'IoU':<16}" + "".join(f"{condition:>9}" for condition in record))
    for name in names:
        cells = (value["iou"].get(name) for value in record.values())
        put(f"{name:<16}" + "".join(f"{'' if cell is None else format(cell, '.3f'):>9}" for cell in cells))
    put(f"{'road mean':<16}" + "".join(f"{value['road_mean_iou']:>9.3f}" for value in record.values()))
    put(f"{'images':<16}" + "".join(f"{value['images']:>9}" for value in record.values()))
    put(f"{'images/s':<16}" + "".join(f"{value['images_per_s']:>9.1f}" for value in record.values()))
