"""Runs an experiment: python -m training.experiments.run FILE.toml SHARDS OUT [ARM ...].

Every arm and seed has a folder of its own in OUT, and is finished, continued or begun. The table of what is finished is
printed and written to OUT/results.md. Ctrl-C saves; the same command goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.artifact import write_atomic
from recon.errors import RoadscribeError
from training.engine.signals import stop_on_signals
from training.experiments.experiment import Arm, Experiment, read_experiment, source_of, towns_of
from training.mapper.config_file import read_config
from training.mapper.evaluate_model import evaluate_model
from training.mapper.train import MODEL, train
from vectorize.evaluate.evaluate_result import source_commit

RESULT = "result.json"


def run_arm(
    experiment: Experiment,
    arm: Arm,
    seed: int,
    files: Path,
    shards: Path,
    out: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train and measure one arm from one seed in `out`/ARM-SEED; None if it was asked to stop before its end."""
    folder = out / f"{arm.name}-{seed}"
    if (folder / RESULT).is_file():
        return dict(json.loads((folder / RESULT).read_text()))
    kinds = {experiment.truth, *(plan.labels for one in experiment.arms for plan in one.sources)}
    towns, held = towns_of(shards, kinds, experiment.held)
    init = out / f"{arm.init}-{seed}" / MODEL if arm.init else None
    config = read_config(files / experiment.config, [*arm.set, f"seed={seed}", f"data.seed={seed}"])
    sources = tuple(source_of(plan, shards, towns) for plan in arm.sources)
    config = replace(config, data=replace(config.data, sources=sources))
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
    result |= {"steps": facts["steps"], "commit": source_commit(), "held": held}
    write_atomic(folder / RESULT, json.dumps(result, indent=1).encode() + b"\n")
    return result


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
