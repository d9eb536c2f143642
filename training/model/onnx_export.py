"""The model as an ONNX file: what it needs to draw a map, without training's branches and heads."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from recon.errors import ConfigInvalid, storage_errors
from training.data.train_batch import Views
from training.model.config import ModelConfig
from training.model.maptr import MapTR

Tensor = torch.Tensor

OPSET = 18
# What each lift reads of `Views`, in this order; the names of the file's inputs.
INPUTS = {
    "ipm": ("images", "present", "cell_uv"),
    "lss": ("images", "present", "rays", "origins", "image_cells"),
}


class LastLayer(nn.Module):
    """Plain tensors in and out: what ONNX knows."""

    def __init__(self, model: MapTR) -> None:
        super().__init__()
        self.model = model

    def forward(self, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, Q, C) and points (B, Q, P, 2) of the last layer."""
        empty = given[0].new_zeros(0)
        parts = {f.name: empty for f in fields(Views)} | dict(zip(INPUTS[self.model.config.lift], given, strict=True))
        output = self.model(Views(**parts), many=False)
        return output.logits[-1], output.points[-1]


def export_onnx(model: MapTR, path: Path) -> None:
    """Write the model for any number of samples and cameras.

    The file's inputs are those fields of `Views` that the lift reads, its outputs `logits` (B, Q, C) and `points`
    (B, Q, P, 2). Raises ConfigInvalid without the extra [onnx], DiskFull.
    """
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ConfigInvalid("this Python has no onnx", hint="pip install 'roadscribe[onnx]'.")
    names = INPUTS[model.config.lift]
    batch, cameras = torch.export.Dim("batch", min=1, max=1024), torch.export.Dim("cameras", min=1, max=1024)
    training = model.training
    model.eval()
    try:
        with storage_errors(str(path)), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter uses what torch itself calls deprecated
            torch.onnx.export(
                LastLayer(model).eval(),
                _example(model.config, names),
                str(path),
                input_names=list(names),
                output_names=["logits", "points"],
                opset_version=OPSET,
                dynamic_shapes=(tuple({0: batch, 1: cameras} for _ in names),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        model.train(training)


def _example(config: ModelConfig, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Return inputs to trace with: 2 samples of 3 cameras, since lengths of 1 would be taken for constants."""
    lead, (width, height), cells = (2, 3), config.image_px, config.feature_px
    parts = {
        "images": torch.zeros(*lead, 3, height, width, dtype=torch.uint8),
        "present": torch.ones(lead, dtype=torch.bool),
        "cell_uv": torch.full((*lead, len(config.heights_m), *config.bev_px, 2), 0.5),
        "rays": torch.ones(*lead, *cells, 3),
        "origins": torch.zeros(*lead, 3),
        "image_cells": torch.ones(*lead, *cells, dtype=torch.bool),
    }
    return tuple(parts[name] for name in names)
