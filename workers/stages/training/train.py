"""The stage train: shards become a model; states stay in the work folder, so that the next attempt goes on."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recon.artifact import atomic_folder
from recon.errors import Cancelled
from workers.stages.folder import seal_files

if TYPE_CHECKING:
    from workers.jobs.train import TrainJob
    from workers.stage import StageInput

RUN = "run"  # folder of the training beside that of the artifact
SUMMARY = ("parameters", "training", "validation", "steps", "hours", "scores")


def train(given: StageInput) -> None:
    """Train until the last step; a SIGTERM ends the attempt with a saved state. The model is the artifact."""
    from training.engine.signals import stop_on_signals
    from training.engine.state import drop_damaged
    from training.mapper.train import train as train_mapper
    from vectorize.datasets.snapshot_folder import split_shards
    from workers.cluster.ray_cluster import cluster_of

    job: TrainJob = given.config
    out = given.folder.parent / RUN

    def measured(scalars: Mapping[str, float]) -> None:
        named = {"loss" if name == "total" else name: value for name, value in scalars.items()}
        shown = {name: value for name, value in named.items() if name == "loss" or name.startswith("map/")}
        given.measured({name: value for name, value in shown.items() if math.isfinite(value)})

    snapshot = [given.parents["snapshot"]] if "snapshot" in given.parents else []
    held = [folder for folder in snapshot if split_shards(folder, "validation", verify=False)]
    drop_damaged(out)  # the steps since the state before are taken again
    # Ray sets signal handlers of its own when it connects: ours come after it.
    with cluster_of(job.workers, given.folder.parent), stop_on_signals() as told:
        model = train_mapper(
            out,
            job.config,
            [*map(Path, job.data), *snapshot],
            [*map(Path, job.validation), *held],
            init=Path(job.init) if job.init else None,
            workers=job.workers,
            resume=True,
            tick=given.tick,
            should_stop=told,
            measured=measured,
        )
        if told():
            raise Cancelled
    provenance = json.loads((model / "model.json").read_bytes())["provenance"]
    with atomic_folder(given.folder) as scratch:
        shutil.copytree(model, scratch / model.name)
        shutil.copyfile(out / "metrics.jsonl", scratch / "metrics.jsonl")
        for drawn in sorted((out / "pictures").glob("step-*"))[-1:]:
            shutil.copytree(drawn, scratch / "pictures")
        seal_files(scratch, given, "MapModel", {"train": {name: provenance[name] for name in SUMMARY}})
