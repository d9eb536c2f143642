"""Training of an online-mapping model: folders of shards in, a checkpoint with its model card out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from recon.progress import Tick, silent
from recon.segment.mask2former import device_of
from training.engine.best import Best, check_best, load_best
from training.engine.distributed import run_on_workers
from training.engine.log import rows
from training.engine.loop import run
from training.mapper.checkpoint_folder import export
from training.mapper.config import MapperConfig
from training.mapper.mapper_task import MapperTask, Show
from training.mapper.model_card import model_card
from training.mapper.model_file import check_shape, read_model_file
from vectorize.evaluate.evaluate_result import source_commit

MODEL = "model"  # folder of the checkpoint in that of a run


def train(
    out: Path,
    config: MapperConfig,
    training: Sequence[Path],
    validation: Sequence[Path] = (),
    *,
    init: Path | None = None,
    workers: int = 1,
    resume: bool = False,
    tick: Tick = silent,
    should_stop: Callable[[], bool] = lambda: False,
    measured: Callable[[Mapping[str, float]], None] = lambda _: None,
    show: Show = lambda _: None,
) -> Path:
    """Train a model in `out` and return the folder of the checkpoint that it exports at the end, `out`/model.

    What is exported is the averaged net of the last step, or with `config.best` that of the best validation.

    `training` and `validation` are folders of shards, `init` the folder of a model to begin with. Several `workers`
    share each batch on the Ray cluster that this process is connected to; `show` is then not called. A run
    that `should_stop` ends finishes its step, saves and exports. Raises ConfigInvalid when shards do not fit the model,
    a place is both trained on and held out, or no validation measures `config.best`, ModelInvalid when `init` has
    another shape, ArtifactInvalid for damaged shards, and what `training.engine.loop.run` raises.
    """
    if init is not None:
        check_shape(init, config.model)
    task = MapperTask(config, training, validation, init=init, show=show)
    if config.best:
        check_best(config.best, task.scalar_names())
    told: dict[str, Any] = {"resume": resume, "tick": tick, "should_stop": should_stop, "measured": measured}
    if workers > 1:
        folders = [[folder.resolve() for folder in part] for part in (training, validation)]
        make = partial(MapperTask, config, *folders, init=init.resolve() if init else None)
        done = run_on_workers(out, make, config, workers=workers, **told)
    else:
        done = run(out, task, config, device_of(config.device, setting="train.device"), **told)
    best = load_best(out, done.net) if config.best else None
    facts = _facts(out, config, task, done.net, done.step, best, init)
    export(out / MODEL, done.net, config.model, facts, model_card(config, facts))
    return out / MODEL


def _facts(
    out: Path,
    config: MapperConfig,
    task: MapperTask,
    net: torch.nn.Module,
    steps: int,
    best: Best | None,
    init: Path | None,
) -> dict[str, Any]:
    """Return where a model comes from, as model.json and the card state it."""
    lines = rows(out)
    scores: dict[str, float] = {}
    for line in (line for line in lines if line["step"] <= (best.step if best else steps)):
        scores |= {key: value for key, value in line.items() if key.startswith(("map/", "ap/"))}
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "training": task.training_report(),
        "validation": task.validation_report(),
        "data": task.data_digest(),
        "init": read_model_file(init)[1]["weights_sha256"] if init else "",
        "steps": steps,
        "best": asdict(best) if best else None,
        "hours": sum(line.get("seconds", 0.0) for line in lines) / 3600,
        "commit": source_commit(),
        "config": asdict(config),
        "scores": scores,
    }
