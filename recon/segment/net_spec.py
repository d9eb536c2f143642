"""The input and output conventions of a segmentation net: the part of a class map file beside the classes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from recon.classes import CLASS_MAP_FOLDER, ClassMap
from recon.errors import ModelInvalid


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
