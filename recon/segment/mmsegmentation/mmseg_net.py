"""Nets of mmsegmentation: built from a configuration that is data, filled from a checkpoint that is weights only."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from recon.errors import ModelInvalid

_INSTALL = "make mmseg, or pip install --no-build-isolation 'roadscribe[mmseg]' beside torch and setuptools < 80"
_KEEP_WEIGHTS = (
    "Where you trust it, keep what is needed: python -c \"import torch; c = torch.load('OLD.pth', "
    "map_location='cpu', weights_only=False); torch.save({k: c[k] for k in ('meta', 'state_dict')}, 'NEW.pth')\"."
)
_TRAINED_WITH = "Give the configuration the checkpoint was trained with."
# Entries for training only; some of them would be fetched or built in vain.
_UNUSED = frozenset({"train_cfg", "init_cfg", "pretrained"})


def build_net(body: Mapping[str, Any], *, where: str) -> Any:
    """Return the net a configuration describes, with random weights, for inference; ModelInvalid when it cannot be."""
    model = _without_training(body.get("model"))
    kind = model.get("type") if isinstance(model, dict) else None
    head = model.get("decode_head") if isinstance(model, dict) else None
    head_kind = head.get("type") if isinstance(head, dict) else None
    if (str(kind).split(".")[-1], str(head_kind).split(".")[-1]) != ("EncoderDecoder", "Mask2FormerHead"):
        hint = "Give a Mask2Former; other nets run as ONNX with segment.backend=openvino."
        raise ModelInvalid(f"the model is a {kind} with a {head_kind}", where=where, hint=hint)
    if "data_preprocessor" not in model and "data_preprocessor" in body:
        model["data_preprocessor"] = _without_training(body["data_preprocessor"])
    model["test_cfg"] = model.get("test_cfg") or {"mode": "whole"}
    fault = _fault(model)
    if fault:
        raise ModelInvalid(fault, where=where, hint=_TRAINED_WITH)
    registry = _registry(where)
    _check_types(model, registry, where)
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm

    try:
        with quiet():
            net: Any = revert_sync_batchnorm(registry[""].build(ConfigDict(model)))
    except MemoryError:
        raise
    except Exception as error:  # constructors raise errors of all kinds, always because of the configuration
        first = (str(error).strip().splitlines() or [""])[0][:200]
        message = f"mmsegmentation cannot build the net: {type(error).__name__} {first}".rstrip()
        raise ModelInvalid(message, where=where, hint=_TRAINED_WITH) from error
    return net.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings about deprecated calls in unmaintained packages, because users cannot act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _registry(where: str) -> dict[str, Any]:
    """Return the registries by scope, "" being where a net is built; ModelInvalid when the packages are missing."""
    try:
        with quiet():
            import mmcv.ops.multi_scale_deform_attn as deformable
            import mmdet.models  # noqa: F401 importing is registering
            import mmseg.models  # noqa: F401
            from mmdet.registry import MODELS as DETECTION
            from mmengine.registry import MODELS as COMMON
            from mmengine.registry import DefaultScope
            from mmseg.registry import MODELS as SEGMENTATION

            if DefaultScope.get_current_instance() is None:
                DefaultScope.get_instance("roadscribe", scope_name="mmseg")
    except (ImportError, AssertionError) as error:  # the packages assert each other's versions
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelInvalid(f"mmsegmentation cannot be used: {first}", where=where, hint=_INSTALL) from error
    # The compiled sampling exists only where mmcv was built with CUDA, and not in bfloat16. mmcv's own form in PyTorch
    # gives the same sums on every device.
    deformable.IS_CUDA_AVAILABLE = False
    return {"": SEGMENTATION, "mmseg": SEGMENTATION, "mmdet": DETECTION, "mmengine": COMMON, "mmcv": COMMON}


def _check_types(value: Any, registry: Mapping[str, Any], where: str) -> None:
    """Raise ModelInvalid for an unregistered type, because mmengine would import and call any dotted name."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_types(item, registry, where)
    if not isinstance(value, dict):
        return
    if "type" in value:
        name = str(value["type"])
        scope, _, plain = name.rpartition(".")
        scopes = [scope] if scope else ["mmseg", "mmdet", "mmengine"]
        if not any(plain in registry[s].module_dict for s in scopes if s in registry):
            hint = "Only what mmsegmentation, mmdet and mmcv register is built, by its registered name."
            raise ModelInvalid(f"the configuration names an unknown type {name!r}", where=where, hint=hint)
    for item in value.values():
        _check_types(item, registry, where)


def _fault(model: Mapping[str, Any]) -> str:
    """Return a fault that mmsegmentation would notice at the first image only, or misread silently."""
    if not isinstance(model.get("data_preprocessor"), dict):
        return "the configuration has no data_preprocessor: how pixels are normalised is unknown"
    test = model["test_cfg"]
    mode = test.get("mode") if isinstance(test, dict) else None
    if mode not in ("whole", "slide"):
        return f"test_cfg.mode is {mode!r}, expected whole or slide"
    for name in ("crop_size", "stride") if mode == "slide" else ():
        pair = test.get(name)
        if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(v, int) and v > 0 for v in pair)):
            return f"test_cfg.{name} is {pair!r}, expected height and width"
    return ""


def _without_training(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_without_training(item) for item in value)
    if isinstance(value, dict):
        return {key: _without_training(item) for key, item in value.items() if key not in _UNUSED}
    return value


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's mapping, loaded with `weights_only`; ModelInvalid when it is damaged or holds objects."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = "the checkpoint is damaged, or holds more than weights: such a file can run code and is not opened"
        raise ModelInvalid(message, where=str(path), hint=_KEEP_WEIGHTS) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        hint = "Copy the checkpoint again."
        raise ModelInvalid(f"the checkpoint does not load: {first}", where=str(path), hint=hint) from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        hint = "Give a checkpoint of mmsegmentation."
        raise ModelInvalid("the checkpoint holds no state_dict of weights", where=str(path), hint=hint)
    return dict(checkpoint)


def load_weights(net: Any, checkpoint: Mapping[str, Any], *, where: str) -> None:
    """Load the weights of a checkpoint into a net; ModelInvalid when one is missing or has another shape."""
    try:
        missing = net.load_state_dict(checkpoint["state_dict"], strict=False).missing_keys
    except RuntimeError as error:  # of another shape
        lines = str(error).strip().splitlines()
        raise ModelInvalid(
            f"the weights do not fit: {lines[min(1, len(lines) - 1)].strip()[:200]}", where=where, hint=_TRAINED_WITH
        ) from error
    if missing:
        raise ModelInvalid(
            f"{len(missing)} weights are missing, the first {missing[0]}", where=where, hint=_TRAINED_WITH
        )


def class_names(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names of a checkpoint; empty if it has no names."""
    meta = checkpoint.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    dataset = meta.get("dataset_meta")
    given = (dataset if isinstance(dataset, dict) else {}).get("classes") or meta.get("CLASSES")
    return tuple(map(str, given)) if isinstance(given, (list, tuple)) else ()
