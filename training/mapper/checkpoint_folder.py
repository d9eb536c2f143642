"""A trained model as a folder: model.json (its shape, classes and where it comes from), weights, and a model card."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from recon.artifact import digest_file, write_atomic
from recon.errors import ModelInvalid, storage_errors
from training.engine.tensor_file import write_tensors
from training.mapper.model_file import KIND, MODEL_FILE, SCHEMA, read_model_file
from training.model.config import ModelConfig
from training.model.maptr import MapTR

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "MODEL_CARD.md"


def export(folder: Path, net: torch.nn.Module, config: ModelConfig, provenance: dict[str, Any], card: str) -> None:
    """Write a model; the file that names the weights' digest comes last. DiskFull or StorageError."""
    with storage_errors(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f".{WEIGHTS_FILE}.part"
        try:
            tensors = {n: t.detach().cpu().contiguous().clone() for n, t in net.state_dict().items()}
            write_tensors(scratch, tensors, {"format": "pt"})
            scratch.chmod(0o644)  # the writer makes it private
            digest = digest_file(scratch)
            (folder / MODEL_FILE).unlink(missing_ok=True)
            scratch.replace(folder / WEIGHTS_FILE)
        finally:
            scratch.unlink(missing_ok=True)
    write_atomic(folder / CARD_FILE, card.encode())
    body = {"kind": KIND, "schema": SCHEMA, "roadscribe": version("roadscribe"), "weights_sha256": digest}
    body |= {"model": asdict(config), "provenance": provenance}
    write_atomic(folder / MODEL_FILE, json.dumps(body, indent=1).encode() + b"\n")


def load_weights(folder: Path, net: torch.nn.Module) -> str:
    """Fill a net of the checkpoint's shape and return the weights' sha256; ModelInvalid when damaged or of another."""
    _, body = read_model_file(folder)
    path = folder / WEIGHTS_FILE
    try:
        digest = digest_file(path)
        if digest != body.get("weights_sha256"):
            hint = "Copy the whole folder again."
            raise ModelInvalid("the weights are damaged: their sha256 is another", where=str(path), hint=hint)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelInvalid(f"the weights cannot be read: {error}", where=str(path)) from error
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelInvalid(f"the weights are of another shape: {error}", where=str(path)) from error
    return digest


def load_model(folder: Path, device: torch.device) -> tuple[MapTR, ModelConfig, str]:
    """Return a model ready for use, its shape, and the sha256 of its weights; ModelInvalid."""
    config, _ = read_model_file(folder)
    net = MapTR(config, load=False)  # the package that brought the backbone's weights need not be there
    digest = load_weights(folder, net)
    return net.to(device).eval(), config, digest
