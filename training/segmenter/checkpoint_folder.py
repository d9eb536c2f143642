"""The result of a training run: a checkpoint folder that the mask2former back end opens, with its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from recon.artifact import write_atomic
from recon.classes import RoadClass
from recon.errors import storage_errors
from recon.segment.checkpoint import MODEL_FILE, SPEC_FILE, PixelSpec
from training.engine.best import chosen_note
from training.engine.tensor_file import write_tensors
from training.segmenter.config import TrainConfig

CARD_FILE = "MODEL_CARD.md"


def export(folder: Path, net: Any, spec: PixelSpec, card: str) -> None:
    """Write config.json, model.safetensors (matrices in fp16), roadscribe.json and the model card; DiskFull."""
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".{MODEL_FILE}.part"
        try:
            # Scales, biases and running statistics stay float32: they are few, and halves would overflow or vanish.
            write_tensors(scratch, {n: _half(tensor) for n, tensor in net.state_dict().items()}, {"format": "pt"})
            scratch.chmod(0o644)  # the writer makes it private
            scratch.replace(folder / MODEL_FILE)
        finally:
            scratch.unlink(missing_ok=True)
        net.config.architectures = [type(net).__name__]
        write_atomic(folder / "config.json", net.config.to_json_string(use_diff=True).encode())
        write_atomic(folder / SPEC_FILE, json.dumps(spec.record(), indent=2).encode() + b"\n")
        write_atomic(folder / CARD_FILE, card.encode())


def _half(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.dtype == torch.float32 and tensor.ndim >= 2 else tensor.clone()


def model_card(config: TrainConfig, facts: dict[str, Any]) -> str:
    """Return a model card that states data, settings, result and time; its section on limits is for the author."""
    lines = ["# A road segmenter for Roadscribe", "", f"Mask2Former, {facts['parameters'] / 1e6:.2f} M parameters."]
    lines += ["", "## Data", ""]
    lines += [f"- training: {name}, {count} images" for name, count in facts["training"]]
    lines += [f"- held out: {name}, {count} images" for name, count in facts["validation"]]
    lines += ["", "## Training", "", f"{facts['steps']} steps, {facts['hours']:.2f} h, with these settings:", ""]
    lines += ["```json", json.dumps(facts["config"], indent=2), "```", "", "## IoU on the held-out images", ""]
    lines += chosen_note(facts["best"])
    scores = facts["scores"]
    if scores:
        lines += [f"| class | {' | '.join(scores)} |", "| --- " * (len(scores) + 1) + "|"]
        names = {c.name: c.name for c in RoadClass if c.name in scores["all"]} | {
            "road_mean": "mean of the road classes"
        }
        for key, name in names.items():
            cells = (f"{values[key]:.3f}" if key in values else "" for values in scores.values())
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    else:
        lines += ["No images were held out.", ""]
    lines += ["## Use", "", f"Working size {config.size_px[0]} x {config.size_px[1]} px; RGB, ImageNet statistics; "]
    lines += ["outputs are the classes of the class map `roadscribe`.", ""]
    lines += ["## Limits", "", "Knows only what the data above show; measure it on your own drives first.", ""]
    return "\n".join(lines)
