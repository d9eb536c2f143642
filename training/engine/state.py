"""What a training run needs to continue: weights, their average, the optimizer, the step. No pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from recon.artifact import atomic_folder, digest_file
from recon.errors import ArtifactInvalid, PathRefused, storage_errors
from training.engine import best
from training.engine.log import METRICS
from training.engine.tensor_file import plain, write_tensors

_FOLDER = "state"
_NET, _AVERAGE, _OPTIMIZER = "net.safetensors", "ema.safetensors", "optimizer.safetensors"
# Settings that a run may go on with others of. States hold them all the same: the log names what changed.
MAY_CHANGE = frozenset({"learning_rate"})
_KEPT = 2  # states: the newest, and one in case the disk held back part of it


def claim(out: Path, resume: bool) -> None:
    """Make the folder of a run; PathRefused when it holds a run and `resume` is false."""
    if not resume and ((out / _FOLDER).exists() or (out / METRICS).exists()):
        raise PathRefused("the folder holds a training run", where=str(out), hint="Add --resume, or name another one.")
    with storage_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        for folder in (out / _FOLDER, out / best.FOLDER):
            for part in folder.glob(".step-*.part"):  # a run that was killed while it saved
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
        write_tensors(scratch / _NET, plain(net.state_dict()))
        write_tensors(scratch / _AVERAGE, plain(average.state_dict()))
        write_tensors(scratch / _OPTIMIZER, plain(_flat(net, optimizer)))
        # A file that the disk kept in part has a whole header, so that its zeros would load as weights.
        files = {name: digest_file(scratch / name) for name in (_NET, _AVERAGE, _OPTIMIZER)}
        (scratch / "state.json").write_text(json.dumps({"step": step, "files": files, **identity}), encoding="utf-8")
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

    Raises ArtifactInvalid when the state is damaged, fits another net, or was written under another `identity`, but for
    settings in `MAY_CHANGE`.
    """
    states = _states(out)
    if not states:
        return 0
    folder = states[-1]
    try:
        body = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        step = int(body["step"])
        _check_files(folder, body.get("files", {}))
        parts = {name: load_file(folder / name) for name in (_NET, _AVERAGE, _OPTIMIZER)}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        hint = "Delete this folder to continue from the one before it."
        raise ArtifactInvalid(f"the training state is damaged: {error}", where=str(folder), hint=hint) from error
    hint = "Give what the run began with, or another OUT."
    if changed := _changed(body, identity):
        raise ArtifactInvalid(f"the run was begun with other {' and '.join(changed)}", where=str(folder), hint=hint)
    try:
        net.load_state_dict(parts[_NET])
        average.load_state_dict(parts[_AVERAGE])
        _fill(net, optimizer, parts[_OPTIMIZER])
    except (RuntimeError, KeyError, ValueError) as error:
        raise ArtifactInvalid(f"the training state is of another net: {error}", where=str(folder), hint=hint) from error
    return step


def changed_settings(out: Path, identity: Mapping[str, Any]) -> dict[str, float]:
    """Return those of `MAY_CHANGE` that differ from the newest state of `out`, with their new values."""
    states = _states(out)
    if not states:
        return {}
    before = json.loads((states[-1] / "state.json").read_text(encoding="utf-8")).get("settings", {})
    now = identity["settings"]
    return {name: float(now[name]) for name in sorted(MAY_CHANGE & now.keys()) if before.get(name) != now[name]}


def load_average(out: Path, net: torch.nn.Module) -> int:
    """Fill a net with the averaged weights of the newest state, and return its step.

    Raises ArtifactInvalid when there is none, or it is damaged or of another net.
    """
    states = _states(out)
    if not states:
        raise ArtifactInvalid("the run has no state", where=str(out))
    try:
        body = json.loads((states[-1] / "state.json").read_text(encoding="utf-8"))
        _check_files(states[-1], body.get("files", {}))
        net.load_state_dict(load_file(states[-1] / _AVERAGE))
        return int(body["step"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ArtifactInvalid(f"the training state cannot be used: {error}", where=str(states[-1])) from error


def drop_damaged(out: Path) -> list[Path]:
    """Remove the newest states of a run as long as they are damaged, and return their folders.

    For runs whose folder nobody looks into: a state that is refused would end each of their attempts.
    """
    dropped: list[Path] = []
    for folder in reversed(_states(out)):
        try:
            _check_files(folder, json.loads((folder / "state.json").read_text(encoding="utf-8")).get("files", {}))
            break
        except (FileNotFoundError, ValueError, AttributeError):
            shutil.rmtree(folder)
            dropped.append(folder)
    return dropped


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise ValueError for a file that is not as it was written; states of version 0.1 may name none."""
    for name, digest in files.items():
        if digest_file(folder / name) != digest:
            raise ValueError(f"{name} changed or is cut short")


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs of an identity; of settings, which: "settings (batch 4, now 2)"."""
    found = []
    for key, value in now.items():
        old = before.get(key)
        if old == value:
            continue
        inside = ""
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            names = [name for name in sorted({*old, *value} - MAY_CHANGE) if old.get(name) != value.get(name)]
            if not names:
                continue
            inside = ", ".join(f"{name} {old.get(name)}, now {value.get(name)}" for name in names)
        found.append(f"{key} ({inside})" if inside else key)
    return found


def _states(out: Path) -> list[Path]:
    return sorted((out / _FOLDER).glob("step-*"))


def _flat(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names: dict[torch.Tensor, str] = {parameter: name for name, parameter in net.named_parameters()}
    return {f"{names[p]}/{key}": value for p, entry in optimizer.state.items() for key, value in entry.items()}


def _fill(net: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    parameters = dict(net.named_parameters())
    fused = bool(optimizer.defaults.get("fused"))
    for full, value in tensors.items():
        name, _, key = full.rpartition("/")
        parameter = parameters[name]
        if value.ndim and value.shape != parameter.shape:
            raise ValueError(f"{full} has the shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")
        if value.ndim:
            # In the order of the weights' memory: a fused step reads both from end to end, whatever their strides.
            kept = torch.empty_like(parameter).copy_(value)
        else:
            # AdamW keeps its step counter on the CPU wherever the weights are, unless it is fused.
            kept = value.to(parameter.device) if fused or key != "step" else value
        optimizer.state[parameter][key] = kept
