"""The settings of a training as a TOML file: sections `model`, `loss` and `data`, and NAME=VALUE changes to them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from recon.config import apply_change
from recon.errors import ConfigInvalid
from training.mapper.config import MapperConfig
from training.mapper.model_file import read_model_file
from training.model.config import ModelConfig
from training.model.presets import preset

_UNKNOWN = "unexpected_keyword_argument"


class _Checked(BaseModel):
    """Refuses unknown names in the settings too: a dataclass alone would pass over them."""

    model_config = ConfigDict(extra="forbid")
    settings: MapperConfig


def read_config(path: Path | None, changes: Sequence[str] = (), *, init: Path | None = None) -> MapperConfig:
    """Return the settings of a TOML file with changes such as `model.layers=2`; ConfigInvalid names the faulty one.

    `model.preset` chooses the settings that the other entries of the section change. `init` is the folder of a model
    to go on from: its shape stands in place of the preset where there is no section `model`. Raises ModelInvalid too.
    """
    body = _parsed(path) if path else {}
    for change in changes:
        name, equals, _ = change.partition("=")
        if not equals or not name or name.endswith("."):
            raise ConfigInvalid("expected NAME=VALUE", where=f"--set {change}", hint="E.g. --set model.layers=2.")
        apply_change(body, change)
    model = body.get("model", {})
    if not isinstance(model, dict):
        raise ConfigInvalid("model is a section, not a value", where=_place(path))
    named = model.pop("preset", None)
    if named is not None and not isinstance(named, str):
        raise ConfigInvalid("model.preset must be the name of a preset", where=_place(path))
    base = preset(named) if named is not None else ModelConfig()
    if init is not None and named is None and not model:
        base, _ = read_model_file(init)
    body["model"] = _over(asdict(base), model)
    return config_of(body, where=_place(path))


def config_of(body: Mapping[str, Any], where: str) -> MapperConfig:
    """Return the settings in a JSON object; ConfigInvalid for an unknown name, a wrong type or a value out of range."""
    try:
        text = json.dumps(body)
    except TypeError as error:
        raise ConfigInvalid(f"a value of no known type: {error}", where=where) from error
    try:
        # Strict: a number in quotes is a mistake, and is refused.
        return _Checked.model_validate_json(f'{{"settings": {text}}}', strict=True).settings
    except ValidationError as error:
        faults = error.errors(include_url=False)
        named = "; ".join(f"{_name(fault)}: {fault['msg']}" for fault in faults)
        raise ConfigInvalid(named, where=where, hint=_hint(faults)) from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigInvalid(f"the settings cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the settings are no TOML: {error}", where=str(path)) from error


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with others laid over them, section by section."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = _over(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return result


def _hint(faults: Sequence[Any]) -> str:
    names = list(_names(MapperConfig(), ""))
    unknown = [_name(fault) for fault in faults if fault["type"] == _UNKNOWN]
    near = [match for name in unknown for match in get_close_matches(name, names, n=2, cutoff=0.6)]
    return f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else "docs/training.md lists the settings."


def _name(fault: Any) -> str:
    return ".".join(map(str, fault["loc"][1:])) or "settings"


def _names(section: Any, before: str) -> list[str]:
    found = []
    for one in fields(section):
        value = getattr(section, one.name)
        found += _names(value, f"{before}{one.name}.") if is_dataclass(value) else [f"{before}{one.name}"]
    return found


def _place(path: Path | None) -> str:
    return str(path) if path else "--set"
