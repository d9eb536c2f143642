"""What a training run needs to continue: weights, their average, the optimizer, the step. No pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from recon.artifact import atomic_folder
from recon.errors import ArtifactInvalid, PathRefused, storage_errors
from training.engine.log import METRICS

_FOLDER = "state"
_KEPT = 2  # states: the newest, and one in case the disk held back part of it


def claim(out: Path, resume: bool) -> None:
    """Make the folder of a run; PathRefused when it holds a run and `resume` is false."""
    if not resume and ((out / _FOLDER).exists() or (out / METRICS).exists()):
        raise PathRefused("the folder holds a training run", where=str(out), hint="Add --resume, or name another one.")
    with storage_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        for part in (out / _FOLDER).glob(".step-*.part"):  # a run that was killed while it saved
            shutil.rmtree(part)


def save_state(
    out: Path,
    step: int,
    net: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
) -> None:
    """Write the state after `step` steps atomically and drop the oldest; DiskFull or StorageError.

    `identity` is JSON: what `load_state` compares with that of a run that goes on.
    """
    target = out / _FOLDER / f"step-{step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    with atomic_folder(target) as scratch:
        save_file(_plain(net.state_dict()), scratch / "net.safetensors")
        save_file(_plain(average.state_dict()), scratch / "ema.safetensors")
        save_file(_plain(_flat(net, optimizer)), scratch / "optimizer.safetensors")
        (scratch / "state.json").write_text(json.dumps({"step": step, **identity}), encoding="utf-8")
    for old in _states(out)[:-_KEPT]:
        shutil.rmtree(old)


def load_state(
    out: Path,
    net: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
) -> int:
    """Fill net, average and optimizer from the newest state of `out` and return its step; 0 when there is none.

    Raises ArtifactInvalid when the state is damaged, fits another net, or was written under another `identity`.
    """
    states = _states(out)
    if not states:
        return 0
    folder = states[-1]
    try:
        body = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        step = int(body.pop("step"))
        changed = [key for key in identity if body.get(key) != identity[key]]
        if changed:
            hint = "Give what the run began with, or another OUT."
            message = f"the run was begun with other {' and '.join(changed)}"
            raise ArtifactInvalid(message, where=str(folder), hint=hint)
        net.load_state_dict(load_file(folder / "net.safetensors"))
        average.load_state_dict(load_file(folder / "ema.safetensors"))
        _fill(net, optimizer, load_file(folder / "optimizer.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        hint = "Delete this folder to continue from the one before it."
        raise ArtifactInvalid(f"the training state is damaged: {error}", where=str(folder), hint=hint) from error
    return step


def _states(out: Path) -> list[Path]:
    return sorted((out / _FOLDER).glob("step-*"))


def _plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _flat(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in net.named_parameters()}
    return {f"{names[p]}/{key}": value for p, entry in optimizer.state.items() for key, value in entry.items()}


def _fill(net: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    parameters = dict(net.named_parameters())
    for full, value in tensors.items():
        name, _, key = full.rpartition("/")
        parameter = parameters[name]
        # AdamW keeps its step counter on the CPU wherever the weights are.
        optimizer.state[parameter][key] = value if key == "step" else value.to(parameter.device)
