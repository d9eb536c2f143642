"""The best net of a run, by a scalar of its validations: kept beside the states, whatever comes after it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from recon.artifact import atomic_folder, digest_file
from recon.errors import ArtifactInvalid, ConfigInvalid
from training.engine.tensor_file import plain, write_tensors

FOLDER = "best"
_NET, _RECORD = "ema.safetensors", "best.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Which validation was the best."""

    name: str  # of its scalar, as in the settings: with a leading minus the lowest is the best
    value: float
    step: int


def keep_best(out: Path, average: torch.nn.Module, step: int, name: str, scalars: Mapping[str, float]) -> None:
    """Keep the averaged net of a step if no validation before it was better; an equal one does not replace it.

    Raises ConfigInvalid when the validation has no such scalar, DiskFull or StorageError.
    """
    check_best(name, scalars)
    value = float(scalars[name.removeprefix("-")])
    before = _newest(out)
    if not math.isfinite(value) or (before and before[1].name == name and not _better(name, value, before[1].value)):
        return
    target = out / FOLDER / f"step-{step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    with atomic_folder(target) as scratch:
        write_tensors(scratch / _NET, plain(average.state_dict()))
        record = asdict(Best(name=name, value=value, step=step)) | {"digest": digest_file(scratch / _NET)}
        (scratch / _RECORD).write_text(json.dumps(record), encoding="utf-8")
    # The new one is complete before the old one goes: a run that is killed here has both.
    for other in (out / FOLDER).iterdir():
        if other != target:
            shutil.rmtree(other)


def check_best(name: str, there: Collection[str]) -> None:
    """Raise ConfigInvalid when no validation measures the scalar that chooses the best net."""
    scalar = name.removeprefix("-")
    if scalar not in there:
        hint = f"They measure: {', '.join(sorted(there)) or 'nothing, for want of held-out data'}."
        raise ConfigInvalid(f"train.best: no validation measures {scalar}", hint=hint)


def load_best(out: Path, net: torch.nn.Module) -> Best | None:
    """Fill a net with the best weights of a run; None when it kept none. ArtifactInvalid when they do not fit."""
    found = _newest(out)
    if found is None:
        return None
    folder, best, digest = found
    try:
        if digest_file(folder / _NET) != digest:
            raise ValueError(f"{_NET} changed or is cut short")
        net.load_state_dict(load_file(folder / _NET))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        hint = "Delete this folder to use the newest net."
        raise ArtifactInvalid(f"the best net cannot be used: {error}", where=str(folder), hint=hint) from error
    return best


def chosen_note(best: Mapping[str, Any] | None) -> list[str]:
    """Return lines of a model card that say which net it is, where a validation chose it: fields of `Best`."""
    if best is None:
        return []
    # What was chosen for a high score measures no new data.
    text = f"This is the net of step {best['step']}, chosen because `{best['name']}` was best on these samples."
    return [f"{text} So the figures flatter it; measure it on other data.", ""]


def _better(name: str, value: float, than: float) -> bool:
    return value < than if name.startswith("-") else value > than


def _newest(out: Path) -> tuple[Path, Best, str] | None:
    """Return the folder that was written last, its record, and the digest of its net."""
    folders = sorted((out / FOLDER).glob("step-*"))
    if not folders:
        return None
    try:
        body = json.loads((folders[-1] / _RECORD).read_text(encoding="utf-8"))
        best = Best(name=str(body["name"]), value=float(body["value"]), step=int(body["step"]))
        return folders[-1], best, str(body["digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "Delete this folder."
        raise ArtifactInvalid(
            f"the record of the best net is damaged: {error}", where=str(folders[-1]), hint=hint
        ) from error
