"""The card of a trained model: data, settings, results, cost, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from training.engine.best import chosen_note
from training.mapper.config import MapperConfig


def model_card(config: MapperConfig, facts: Mapping[str, Any]) -> str:
    """Return the Markdown text; `facts` are those of `training.mapper.train`, which model.json holds too."""
    model = config.model
    size = f"{model.image_px[0]} x {model.image_px[1]} px"
    lines = ["# An online-mapping model of Roadscribe", ""]
    lines += [
        f"MapTRv2 with {model.backbone} and {model.lift}, {facts['parameters'] / 1e6:.2f} M parameters. Images of"
    ]
    lines += [f"{size}, a patch of {model.patch.length_m:g} x {model.patch.width_m:g} m, any number of cameras."]
    lines += ["", f"Classes: {', '.join(model.classes)}.", "", "## Data", ""]
    for role in ("training", "validation"):
        lines += [f"- {role}: {_source(entry)}" for entry in facts[role]] or [f"- {role}: nothing"]
    if facts["init"]:
        lines.append(f"- it went on from the model with the weights {facts['init'][:12]}")
    lines += ["", "## Training", "", f"{facts['steps']} steps, {facts['hours']:.2f} h, seed {config.seed}:", ""]
    lines += ["```json", json.dumps(facts["config"], indent=2), "```", "", "## Results on the held-out samples", ""]
    lines += chosen_note(facts["best"])
    lines += _scores(facts["scores"])
    lines += ["", "## Use", "", "`roadscribe predict MODEL DRIVE OUT`, with MODEL the folder of this file.", ""]
    lines += ["## Limits", "", "It was measured on the data above only; measure it on your own drives first.", ""]
    return "\n".join(lines)


def _source(entry: Mapping[str, Any]) -> str:
    left_out = "".join(f"; left out: {count} ({reason})" for reason, count in entry["left_out"].items())
    return f"{entry['samples']} samples of {entry['drives']} drives in {entry['places']} places{left_out}"


def _scores(scores: Mapping[str, float]) -> list[str]:
    if not scores:
        return ["Nothing was held out."]
    lines = ["| figure | value |", "| --- | --- |"]
    return lines + [f"| {name} | {value:.3f} |" for name, value in scores.items()]
