"""ResNet and Swin of transformers, with weights from a local folder or random ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from recon.errors import ConfigInvalid, ModelInvalid

Tensor = torch.Tensor

# Settings of a configuration that shape the net, or change what it computes with the same weights.
_SHAPING = {
    "resnet": (
        "num_channels",
        "embedding_size",
        "hidden_sizes",
        "depths",
        "layer_type",
        "hidden_act",
        "downsample_in_first_stage",
        "downsample_in_bottleneck",
    ),
    "swin": (
        "num_channels",
        "patch_size",
        "embed_dim",
        "depths",
        "num_heads",
        "window_size",
        "mlp_ratio",
        "qkv_bias",
        "hidden_act",
        "use_absolute_embeddings",
        "layer_norm_eps",
    ),
}
STAGES = ["stage1", "stage2", "stage3", "stage4"]


class TransformersNet(nn.Module):
    """The features of strides 4, 8, 16 and 32."""

    mean = (123.675, 116.28, 103.53)  # ImageNet's statistics, of bytes
    std = (58.395, 57.12, 57.375)

    def __init__(self, name: str, weights: str) -> None:
        """Build `resnet18`, `resnet50` or `swin` (tiny), or what the checkpoint folder `weights` holds.

        Raises ConfigInvalid for "imagenet", ModelInvalid when the folder does not load as this kind of net.
        """
        super().__init__()
        if weights == "imagenet":
            hint = "Give a local folder with config.json and model.safetensors, or use efficientnet_lite0."
            raise ConfigInvalid(f"no package holds ImageNet weights of {name}", hint=hint)
        self.net = _loaded(name, Path(weights)) if weights else _fresh(name)
        self.channels = tuple(int(count) for count in self.net.channels)
        self.freeze_norm = bool(weights)
        self.train()

    def train(self, mode: bool = True) -> TransformersNet:
        """Set the mode; the batch norms of pretrained weights keep their statistics (MapTR: `norm_eval`)."""
        super().train(mode)
        if self.freeze_norm:
            for module in self.net.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return features (N, channels, H / s, W / s) for s = 4, 8, 16, 32 of pixels (N, 3, H, W)."""
        return list(self.net(pixels).feature_maps)


def _fresh(name: str) -> Any:
    """Return a net with random weights, of the published shape."""
    import transformers

    kind: Any = transformers.SwinBackbone if name == "swin" else transformers.ResNetBackbone
    return kind(_published(name))


def _published(name: str) -> Any:
    """Return the configuration of the published shape."""
    import transformers

    settings: Any = transformers.SwinConfig if name == "swin" else transformers.ResNetConfig
    if name == "swin":
        return settings(out_features=STAGES)
    kind, depths, sizes = {
        "resnet18": ("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
        "resnet50": ("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
    }[name]
    return settings(layer_type=kind, depths=depths, hidden_sizes=sizes, out_features=STAGES)


def _loaded(name: str, folder: Path) -> Any:
    """Return the net of a checkpoint folder; a classifier's head is left out."""
    import transformers

    kind: Any = transformers.SwinBackbone if name == "swin" else transformers.ResNetBackbone
    if not (folder / "config.json").is_file():
        raise ModelInvalid("the folder of the backbone's weights has no config.json", where=str(folder))
    try:
        net, report = kind.from_pretrained(
            folder, out_features=STAGES, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises many kinds for a foreign folder
        raise ModelInvalid(f"the backbone's weights do not load: {error}", where=str(folder)) from error
    # A checkpoint of a training names the backbone alone: its weights must mean the same in the published shape.
    keys = _SHAPING["swin" if name == "swin" else "resnet"]
    published, given = _published(name).to_dict(), net.config.to_dict()
    differing = [f"{key} {given.get(key)}, not {published[key]}" for key in keys if given.get(key) != published[key]]
    if differing:
        raise ModelInvalid(f"the weights are not those of a {name}: {'; '.join(differing)}", where=str(folder))
    # The norms that a backbone puts on its outputs are no part of a classifier; all others must be there.
    lacking = sorted(key for key in report["missing_keys"] if "hidden_states_norms" not in key)
    if lacking or report["mismatched_keys"]:
        raise ModelInvalid(f"the weights are not those of a {name}; {lacking[:3]} are missing", where=str(folder))
    return net
