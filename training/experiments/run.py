"""Runs an experiment: python -m training.experiments.run FILE.toml SHARDS OUT [ARM ...].

Every arm and seed has a folder of its own in OUT, and is finished, continued or begun. The table of what is finished is
printed and written to OUT/results.md. Ctrl-C saves; the same command goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.artifact import MANIFEST, digest_json, write_atomic
from recon.errors import ConfigInvalid, RoadscribeError
from training.data.shard_pool import shard_folders
from training.engine.signals import stop_on_signals
from training.experiments.experiment import Arm, Experiment, read_experiment, source_of, towns_of
from training.mapper.config import MapperConfig
from training.mapper.config_file import read_config
from training.mapper.evaluate_model import evaluate_model
from training.mapper.train import MODEL, train
from vectorize.evaluate.evaluate_result import source_commit

RESULT = "result.json"
_WHERE = frozenset({"device", "threads", "loader_threads", "save_every"})  # where and how it computes, not what


def run_arm(
    experiment: Experiment,
    arm: Arm,
    seed: int,
    files: Path,
    shards: Path,
    out: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train and measure one arm from one seed in `out`/ARM-SEED; None if it was asked to stop before its end.

    Raises ConfigInvalid for a result there that other settings, sources or held-out towns have made, and for an arm
    that goes on from one without a result.
    """
    folder = out / f"{arm.name}-{seed}"
    finished = _result(folder)
    if finished and "settings" not in finished:
        return finished  # of a version that kept no digest
    kinds = {experiment.truth, *(plan.labels for one in experiment.arms for plan in one.sources)}
    towns, held = towns_of(shards, kinds, experiment.held)
    init = out / f"{arm.init}-{seed}" / MODEL if arm.init else None
    config = read_config(files / experiment.config, [*arm.set, f"seed={seed}", f"data.seed={seed}"])
    sources = tuple(source_of(plan, shards, towns) for plan in arm.sources)
    config = replace(config, data=replace(config.data, sources=sources))
    before = _result(out / f"{arm.init}-{seed}") if arm.init else {}
    if before is None:
        # The model of a run that was stopped is there too, and is not what this arm is to go on from.
        raise ConfigInvalid(f"{arm.name} goes on from {arm.init}-{seed}, which has no result", where=str(out))
    settings = _settings(config, [shards / experiment.truth / town for town in held], before)
    if finished:
        if finished["settings"] != settings:
            hint = "Remove it, or use another OUT."
            raise ConfigInvalid("the result is of other settings, sources or towns", where=str(folder), hint=hint)
        return finished
    model = train(folder, config, [], init=init, resume=True, should_stop=should_stop)
    if should_stop():
        return None
    pictures = [shards / experiment.pictures / town for town in held] if experiment.pictures else []
    record, _ = evaluate_model(model, [shards / experiment.truth / town for town in held], pictures=pictures)
    full = record["patches"]["full_range"]
    classes = {name: entry["chamfer"]["ap"] for name, entry in full["classes"].items()}
    facts = json.loads((model / "model.json").read_text())["provenance"]
    result = {"arm": arm.name, "seed": seed, "map": full["mean"]["chamfer"]["map"], "ap": classes}
    result |= {"hours": facts["hours"], "samples": sum(e["samples"] for e in facts["training"])}
    result |= {"steps": facts["steps"], "commit": source_commit(), "held": held, "settings": settings}
    write_atomic(folder / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result


def _result(folder: Path) -> dict[str, Any] | None:
    """Return the result of a finished run, or None."""
    return dict(json.loads((folder / RESULT).read_text())) if (folder / RESULT).is_file() else None


def _settings(config: MapperConfig, held: Sequence[Path], before: dict[str, Any]) -> str:
    """Return a digest of all that a figure depends on; shards are named by content, not by where they lie."""
    body = {name: value for name, value in asdict(config).items() if name not in _WHERE}
    data = {**body.pop("data"), "sources": []}
    for source in config.data.sources:
        folders = [[_shards(Path(folder)) for folder in part] for part in (source.folders, source.pictures)]
        data["sources"].append([*folders, source.share, source.weight, source.fraction])
    init = before.get("settings", "")
    return digest_json([body, data, [_shards(folder) for folder in held], init])


def _shards(folder: Path) -> list[Any]:
    """Return the name of a town and what the manifests of its shards state of their content."""
    found = [json.loads((one / MANIFEST).read_bytes())["digest"] for one in shard_folders(folder)]
    return [folder.name, found]


def table(experiment: Experiment, results: Sequence[dict[str, Any]]) -> str:
    """Return the Markdown table of finished runs: each seed, the mean and the standard deviation of every arm."""
    lines = [f"### {experiment.title}", "", "| arm | samples | mAP of each seed | mean | deviation | hours |"]
    lines.append("|---|---|---|---|---|---|")
    for arm in experiment.arms:
        mine = [one for one in results if one["arm"] == arm.name and one["map"] is not None]
        if not mine:
            continue
        values = [100.0 * one["map"] for one in mine]
        spread = f"{np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
        each = ", ".join(f"{value:.1f}" for value in values)
        hours = np.mean([one["hours"] for one in mine])
        lines.append(f"| {arm.name} | {mine[0]['samples']} | {each} | {np.mean(values):.1f} | {spread} | {hours:.2f} |")
    commits = sorted({one["commit"] for one in results if one["commit"]})
    return "\n".join([*lines, "", f"Commit {', '.join(commits)}; full range, against true maps.", ""])


def main(arguments: Sequence[str]) -> int:
    """Run all arms, or those that are named, seed by seed: a first comparison is there early."""
    path, shards, out, *names = arguments
    experiment = read_experiment(Path(path))
    results = []
    with stop_on_signals() as stopped:
        for seed in experiment.seeds:
            for arm in experiment.arms:
                if stopped() or (names and arm.name not in names):
                    continue
                found = run_arm(experiment, arm, seed, Path(path).parent, Path(shards), Path(out), stopped)
                if found is not None:
                    results.append(found)
                    write_atomic(Path(out) / "results.md", table(experiment, results).encode())
    print(table(experiment, results))
    return 130 if stopped() else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except RoadscribeError as error:
        sys.exit(str(error))
