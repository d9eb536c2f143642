"""An mmsegmentation model on disk: a checkpoint NAME.pth and its configuration NAME.py beside it. Torch-free.

mmsegmentation runs a configuration as Python code. Here it is read as data instead: assignments of numbers, texts,
lists, tuples and dicts, which is what mmsegmentation itself writes beside a training's checkpoints. Anything
that would be run, imported or inherited is refused, so a configuration describes a net but cannot execute code.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.artifact import digest_files
from recon.errors import ModelInvalid

CONFIG_LIMIT_BYTES = 4 << 20  # a written-out configuration has some tens of kilobytes
FLATTEN = (
    "Where you trust it, write it out once: "
    "python -c \"from mmengine import Config; Config.fromfile('OLD.py').dump('NEW.py')\"."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MmsegFiles:
    """The two files that decide the output of a model."""

    config: Path
    weights: Path

    @property
    def digest(self) -> str:
        """The sha256 over both."""
        return digest_files((self.config, self.weights))


def find_files(weights: Path) -> MmsegFiles:
    """Return checkpoint and configuration, NAME.py or the only .py beside it; ModelInvalid states what is missing."""
    if weights.suffix != ".pth":
        hint = "Give segment.weights the .pth file; its configuration lies beside it as a .py file."
        raise ModelInvalid(f"{weights.name} is not a .pth file", where=str(weights), hint=hint)
    if not weights.is_file():
        raise ModelInvalid("the checkpoint does not exist", where=str(weights))
    config = weights.with_suffix(".py")
    if not config.is_file():
        found = sorted(weights.parent.glob("*.py"))
        if len(found) != 1:
            message = f"{config.name} does not exist, and {len(found)} other .py files lie beside {weights.name}"
            hint = f"Put the configuration of the training beside the checkpoint as {config.name}."
            raise ModelInvalid(message, where=str(config), hint=hint)
        config = found[0]
    return MmsegFiles(config=config, weights=weights)


def read_config(path: Path) -> dict[str, Any]:
    """Return the names a configuration assigns; ModelInvalid for anything but plain data. Nothing is executed."""
    try:
        if path.stat().st_size > CONFIG_LIMIT_BYTES:
            raise ModelInvalid(
                "the configuration is too large", where=str(path), hint="Check that the file is a configuration."
            )
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelInvalid(f"the configuration does not parse: {error}", where=str(path)) from error
    names: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        if not (isinstance(statement, ast.Assign) and isinstance(target, ast.Name)):
            raise _refused(path, statement)
        if target.id == "_base_":
            raise ModelInvalid("the configuration inherits from other files", where=f"{path}:1", hint=FLATTEN)
        try:
            names[target.id] = _value(statement.value)
        except _NoData as error:
            raise _refused(path, error.node) from None
        except RecursionError as error:
            raise ModelInvalid("the configuration is nested too deep", where=str(path)) from error
    if names.get("custom_imports"):
        hint = "Only what mmsegmentation and mmdet register is built; other nets run as ONNX: segment.backend=openvino."
        raise ModelInvalid("the configuration imports modules of its own", where=str(path), hint=hint)
    return names


class _NoData(Exception):
    def __init__(self, node: ast.AST) -> None:
        self.node = node
        super().__init__()


def _value(node: ast.expr) -> Any:
    """Return the value of an expression of constants, lists, tuples and dicts.

    References to earlier values are refused, because nested they could grow without bounds.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=entries) if all(entry.arg for entry in entries):
            return {str(entry.arg): _value(entry.value) for entry in entries}
    raise _NoData(node)


def _refused(path: Path, node: ast.AST) -> ModelInvalid:
    line = getattr(node, "lineno", 0)
    return ModelInvalid(
        "the configuration holds code, which Roadscribe never runs", where=f"{path}:{line}", hint=FLATTEN
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a test pipeline resizes an image."""

    size_px: tuple[int, int]  # width and height: exact, or the bounds of the longer and the shorter side
    keep_ratio: bool

    def of(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Return the working width and height of an image; kept ratios round as mmcv rounds them."""
        if not self.keep_ratio:
            return self.size_px
        long, short = max(self.size_px), min(self.size_px)
        factor = min(long / max(width_px, height_px), short / min(width_px, height_px))
        return max(1, int(width_px * factor + 0.5)), max(1, int(height_px * factor + 0.5))


def scale_of(config: dict[str, Any], *, where: str) -> Scale | None:
    """Return how the test pipeline resizes, None if it does not; ModelInvalid for an unknown step."""
    loader = config.get("test_dataloader") or {}
    dataset = loader.get("dataset") if isinstance(loader, dict) else None
    inner = dataset.get("pipeline") if isinstance(dataset, dict) else None
    pipeline = inner or config.get("test_pipeline") or []
    for step in pipeline if isinstance(pipeline, (list, tuple)) else []:
        name = str(step.get("type", "")).split(".")[-1] if isinstance(step, dict) else ""
        if name.startswith(("Load", "Pack")):
            continue
        scale = step.get("scale") if name == "Resize" else None
        if isinstance(scale, (list, tuple)) and len(scale) == 2 and all(isinstance(v, int) and v > 0 for v in scale):
            return Scale(size_px=(scale[0], scale[1]), keep_ratio=bool(step.get("keep_ratio", False)))
        message = f"the test pipeline has a step {name or step!r} that only mmsegmentation can run"
        raise ModelInvalid(
            message, where=where, hint="Set segment.size_px to the width and height that the net expects."
        )
    return None
