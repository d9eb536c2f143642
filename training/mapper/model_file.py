"""model.json of a trained model: its shape, its classes, and where it comes from. Torch-free."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recon.errors import ModelInvalid
from training.model.config import ModelConfig

KIND, SCHEMA = "roadscribe-mapper", 2
MODEL_FILE = "model.json"
# They shape training, and no tensor of the checkpoint.
FREE = frozenset({"weights", "dropout", "repeats"})


def read_model_file(folder: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """Return the shape of a model and the whole of its model.json; ModelInvalid where it cannot be used."""
    path = folder / MODEL_FILE
    hint = "Name the folder `model` that `roadscribe train` wrote."
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelInvalid(f"the folder holds no model: {error.strerror}", where=str(path), hint=hint) from error
    except ValueError as error:
        raise ModelInvalid(f"{MODEL_FILE} does not parse: {error}", where=str(path), hint=hint) from error
    if not isinstance(body, dict) or body.get("kind") != KIND:
        raise ModelInvalid(f"{MODEL_FILE} describes no mapping model", where=str(path), hint=hint)
    if body.get("schema") != SCHEMA:
        schema = body.get("schema")
        older = isinstance(schema, int) and schema < SCHEMA
        hint = "Train it again." if older else "Use a newer Roadscribe."
        raise ModelInvalid(
            f"the model has schema {schema!r}, and this version reads {SCHEMA}", where=str(path), hint=hint
        )
    try:
        config = TypeAdapter(ModelConfig).validate_json(json.dumps(body["model"]), strict=True)
    except (KeyError, ValidationError) as error:
        raise ModelInvalid(f"the shape of the model is faulty: {error}", where=str(path), hint=hint) from error
    return config, body


def trained_cameras(folder: Path) -> tuple[str, ...]:
    """Return the cameras that a model was trained with, which it is to be used with; empty: all of a sample."""
    _, body = read_model_file(folder)
    data = ((body.get("provenance") or {}).get("config") or {}).get("data") or {}
    return tuple(map(str, data.get("cameras", ())))


def check_shape(folder: Path, config: ModelConfig) -> None:
    """Raise ModelInvalid, naming every setting, when a model to go on from differs from the one to be trained."""
    theirs, _ = read_model_file(folder)
    pairs = [(k, v, asdict(theirs)[k]) for k, v in asdict(config).items() if k not in FREE]
    differing = [f"{key} {old}, now {new}" for key, new, old in pairs if old != new]
    if differing:
        hint = "Leave out the section `model`: the shape of the checkpoint is used then."
        raise ModelInvalid(f"the model to go on from has {'; '.join(differing)}", where=str(folder), hint=hint)
