"""drive.json as a document: strict JSON, checked against the shipped JSON Schema, each fault with its frame."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from recon.errors import CalibrationMissing, DriveEmpty, DriveInvalid, PoseInvalid, RoadscribeError
from recon.formats.drive_problems import Problems

FILE = "drive.json"
VERSION = 1
MOST_BYTES = 128 << 20  # Python holds ten times as much of it; 100,000 frames of six cameras are 100 MB
SCHEMA_PATH = Path(__file__).with_name("drive.schema.json")
_EACH_ITEM = Draft202012Validator.VALIDATORS["items"]
_POSES = ("world_from_ego", "ego_from_camera", "ego_from_lidar")


def parse_json(data: bytes) -> dict[str, Any]:
    """Return the object in `data`; DriveInvalid for anything else, also for a repeated key."""
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        hint = "Write it with a JSON library, as UTF-8."
        raise DriveInvalid(f"the file is not valid JSON: {error}", where=FILE, hint=hint) from error
    if not isinstance(document, dict) or document.get("format") != "roadscribe-drive":
        hint = 'The file begins with {"format": "roadscribe-drive", "version": 1, ...}.'
        raise DriveInvalid("this is not a Roadscribe drive", where=FILE, hint=hint)
    version = document.get("version")
    if isinstance(version, int) and version > VERSION:
        message = f"drive.json has version {version}, this Roadscribe reads up to {VERSION}"
        raise DriveInvalid(message, where=FILE, hint="Upgrade Roadscribe to read it.")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {_clip(repr(key), 60)} appears twice")
    return result


def _is_number(_: object, value: object) -> bool:
    # Python's parser accepts NaN, Infinity and integers of any length; here they are reported with their place.
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 1 << 64
    return isinstance(value, float) and math.isfinite(value)


def _is_integer(_: object, value: object) -> bool:
    # JSON Schema accepts 1e18 as an integer, but Python reads it as float64 and loses nanoseconds.
    return isinstance(value, int) and not isinstance(value, bool)


def _items(validator: Any, items: dict[str, Any], instance: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    # Nine of ten values in a drive are numbers of matrices. Checked singly, they would take nine tenths of the time.
    if items.keys() == {"type", "minimum", "maximum"} and items["type"] == "number" and isinstance(instance, list):
        low, high = items["minimum"], items["maximum"]
        if all(type(value) in (float, int) and low <= value <= high for value in instance):
            return
    yield from _EACH_ITEM(validator, items, instance, schema)


@cache
def _validator() -> Draft202012Validator:
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_number, "integer": _is_integer})
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    strict = extend(Draft202012Validator, {"items": _items}, type_checker=checker)  # type: ignore[no-untyped-call]
    result: Draft202012Validator = strict(schema)
    return result


def check_document(document: dict[str, Any], problems: Problems) -> set[tuple[str | int, ...]]:
    """Report every place that breaks the schema; return the faulty parts: ("lidar",) or ("frames", 12, "lidar").

    The parts are all of them only while `problems.enough` is false.
    """
    faulty: set[tuple[str | int, ...]] = set()
    errors: Iterable[ValidationError] = _validator().iter_errors(document)
    for error in errors:
        path = tuple(error.absolute_path)
        faulty.add(path[:3] if path[:1] in (("frames",), ("cameras",)) else path[:1])
        problems.add(_typed(path, error))
        if problems.enough:
            break
    return faulty


def _typed(path: tuple[str | int, ...], error: ValidationError) -> RoadscribeError:
    where, message = place_of(path), _short(error)
    if any(pose in path for pose in _POSES) or (error.validator == "required" and "world_from_ego" in message):
        hint = "A pose is a 4 x 4 matrix, or translation_m with rotation_wxyz."
        return PoseInvalid(message, where=where, hint=hint)
    if path[:1] == ("cameras",) and error.validator in ("required", "minProperties"):
        return CalibrationMissing(message, where=where, hint="Give each camera its size, k and ego_from_camera.")
    if path == ("frames",) and error.validator == "minItems":
        return DriveEmpty(where=where, hint="Give at least one frame with one image.")
    return DriveInvalid(message, where=where, hint="docs/drive-folder.md describes every field.")


def _short(error: ValidationError) -> str:
    if error.validator == "type":
        return f"{_clip(repr(error.instance), 60)} is not of type {error.validator_value}"
    return _clip(error.message, 200)


def _clip(text: str, length: int) -> str:
    printable = text.encode("utf-8", "replace").decode("utf-8")
    return printable if len(printable) <= length else printable[: length - 3] + "..."


def place_of(path: tuple[str | int, ...]) -> str:
    """Return the place of a path in drive.json, with the frame first: "frame 12, images.front"."""
    match path:
        case ("frames", int(index), *rest):
            parts = [f"frame {index}"]
        case ("cameras", str(name), *rest):
            parts = [f"camera {name}"]
        case _:
            parts, rest = [FILE], list(path)
    inner = ""
    for key in rest:
        inner += f"[{key}]" if isinstance(key, int) else f".{key}"
    return _clip(", ".join([*parts, inner.lstrip(".")]) if inner else parts[0], 200)
