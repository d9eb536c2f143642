"""Training of a segmenter: folders of images and ids in, a checkpoint with its model card out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon.errors import ConfigInvalid
from recon.progress import Tick, silent
from recon.segment.mask2former import device_of
from training.engine.best import load_best
from training.engine.log import rows
from training.engine.loop import run
from training.segmenter.checkpoint_folder import export, model_card
from training.segmenter.config import TrainConfig
from training.segmenter.segmenter_task import SegmenterTask, Show
from training.segmenter.sources import Source


def train(
    out: Path,
    config: TrainConfig,
    training: Sequence[Source],
    validation: Sequence[Source] = (),
    *,
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
    show: Show = lambda _: None,
) -> Path:
    """Train a net in `out` and return the folder of the checkpoint that it exports at the end, `out`/net.

    What is exported is the averaged net of the last step, or with `config.best` that of the best validation.

    A run that `should_stop` ends finishes its step, saves and exports. Raises ConfigInvalid when an image is both
    trained on and held out, ImageInvalid for a damaged image, and what `training.engine.loop.run` raises.
    """
    _held_out(training, validation)
    task = SegmenterTask(config, training, validation, show)
    done = run(
        out,
        task,
        config,
        device_of(config.device, setting="train.device"),
        resume=resume,
        tick=tick,
        should_stop=should_stop,
    )
    best = load_best(out, done.net) if config.best else None
    facts = {
        "parameters": sum(parameter.numel() for parameter in done.net.parameters()),
        "training": [(source.name, len(source.images)) for source in training],
        "validation": [(source.name, len(source.images)) for source in validation],
        "steps": done.step,
        "config": asdict(config),
        "best": asdict(best) if best else None,
        **_measured(out, best.step if best else done.step),
    }
    export(out / "net", done.net, task.spec, model_card(config, facts))
    return out / "net"


def _held_out(training: Sequence[Source], validation: Sequence[Source]) -> None:
    learnt, held = ({i.image.resolve() for source in part for i in source.images} for part in (training, validation))
    if both := learnt & held:
        hint = "Hold out other drives: a score on training images does not measure the net."
        raise ConfigInvalid(f"{len(both)} images are in --data and --validation", where=str(min(both)), hint=hint)


def _measured(out: Path, step: int) -> dict[str, Any]:
    """Return the hours of a run, and its newest scores up to a step: condition -> class or "road_mean" -> IoU."""
    scores: dict[str, dict[str, float]] = {}
    lines = rows(out)
    for row in (line for line in lines if line["step"] <= step):
        for key, value in row.items():
            if key.startswith("iou/"):
                _, condition, name = key.split("/")
                scores.setdefault(condition, {})[name] = value
    return {"hours": sum(row.get("seconds", 0.0) for row in lines) / 3600, "scores": scores}
