"""The input and output conventions of a segmentation net: the part of a class map file beside the classes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

from recon.classes import CLASS_MAP_FOLDER, ClassMap, RoadClass
from recon.errors import ConfigInvalid, ModelInvalid


def class_map_path(name: str) -> Path:
    """Return the file of a shipped class map, or the JSON file at path `name`; ModelInvalid if neither exists."""
    if name.endswith(".json"):
        return Path(name)
    path = CLASS_MAP_FOLDER / f"{name}.json"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in CLASS_MAP_FOLDER.glob("*.json")))
        raise ModelInvalid(
            f"unknown class map {name!r}", hint=f"Shipped: {shipped}; or give a path that ends in .json."
        )
    return path


def of_movables(class_map: ClassMap, classes: Sequence[str]) -> ClassMap:
    """Return a class map of two kinds: what moves (the named classes, or the dynamic ones), and everything else.

    Raises ConfigInvalid for a name that the class map has not, and when no class is left to look for.
    """
    unknown = [name for name in classes if name not in class_map.names]
    if unknown:
        near = get_close_matches(unknown[0], class_map.names, n=3) or class_map.names[:10]
        message = f"segment.movables.classes: the class map {class_map.name} has no class {unknown[0]!r}"
        raise ConfigInvalid(message, hint=f"Its names are spelled like {', '.join(near)}.")
    moving = tuple(i for i, name in enumerate(class_map.names) if name in classes) if classes else class_map.dynamic
    if not moving:
        message = f"segment.movables: the class map {class_map.name} marks no class as dynamic"
        raise ConfigInvalid(message, hint="Name the classes that move in segment.movables.classes.")
    targets = tuple(RoadClass.UNKNOWN if i in moving else RoadClass.BACKGROUND for i in range(len(class_map.names)))
    return replace(class_map, targets=targets, dynamic=moving)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSpec:
    """Input and output conventions of a net; the defaults are BGR 0..255 in and probabilities out."""

    class_map: ClassMap
    color: str = "bgr"  # order of the input channels: "bgr" or "rgb"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # subtracted, in that order and in 0..255
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)  # then divided by
    size_px: tuple[int, int] | None = None  # width, height, for nets whose input size is open
    activation: str = "softmax"  # the kind of output: "softmax" (probabilities) or "logits"

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the class map file; ModelInvalid names the file and the faulty entry."""
        class_map = ClassMap.load(path)
        body = json.loads(path.read_text(encoding="utf-8"))
        given: dict[str, Any] = {}
        for section, allowed in (("input", ("color", "mean", "scale", "size_px")), ("output", ("activation",))):
            part = body.get(section, {})
            unknown = sorted(set(part) - set(allowed)) if isinstance(part, dict) else [section]
            if unknown:
                hint = f"{section} may hold {', '.join(allowed)}."
                raise ModelInvalid(f"{section} has an unknown entry {unknown[0]!r}", where=str(path), hint=hint)
            given |= {key: tuple(value) if isinstance(value, list) else value for key, value in part.items()}
        spec = cls(class_map=class_map, **given)
        fault = spec._fault()
        if fault:
            raise ModelInvalid(fault, where=str(path), hint="docs/drive-folder.md describes class map files.")
        return spec

    def _fault(self) -> str:
        if self.color not in ("bgr", "rgb"):
            return f"input.color is {self.color!r}, expected bgr or rgb"
        if self.activation not in ("softmax", "logits"):
            return f"output.activation is {self.activation!r}, expected softmax or logits"
        for name, value in (("mean", self.mean), ("scale", self.scale)):
            if not (isinstance(value, tuple) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value)):
                return f"input.{name} is {value!r}, expected three numbers"
        if min(self.scale) <= 0:
            return f"input.scale is {self.scale}, expected positive numbers"
        size = self.size_px
        if size is not None and not (
            isinstance(size, tuple) and len(size) == 2 and all(isinstance(v, int) and 8 <= v <= 8192 for v in size)
        ):
            return f"input.size_px is {size!r}, expected width and height"
        return ""
