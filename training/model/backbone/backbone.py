"""The backbone of a model: images as bytes to features of the strides that the neck wants."""

from __future__ import annotations

import torch
from torch import nn

from training.model.backbone.efficientnet_lite import EfficientNetLite
from training.model.backbone.pretrained import load_imagenet
from training.model.backbone.transformers_net import TransformersNet
from training.model.config import ModelConfig

Tensor = torch.Tensor

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module):
    """Any of `ModelConfig.backbone`, behind one face. It normalises pixels as its weights were trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, *, load: bool = True) -> None:
        """Build the net and load `config.weights`; ConfigInvalid or ModelInvalid when they are not to be had.

        Without `load` a checkpoint brings the weights, and only the treatment of norms is that of pretrained ones.
        """
        super().__init__()
        self.net: EfficientNetLite | TransformersNet
        if config.backbone.startswith("efficientnet_lite"):
            self.net = EfficientNetLite(int(config.backbone[-1]), freeze_norm=bool(config.weights))
            if config.weights and load:
                load_imagenet(self.net, config.weights)
        else:
            self.net = TransformersNet(config.backbone, config.weights if load else "")
            self.net.freeze_norm = bool(config.weights)
        first = STRIDES.index(config.stride)
        self.strides = STRIDES[first:]
        self.channels = tuple(self.net.channels[first:])
        for name in ("mean", "std"):  # of bytes; part of the code, so no checkpoint holds them
            self.register_buffer(name, torch.tensor(getattr(self.net, name)).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (N, channels, H / stride, W / stride) of each stride, of RGB images (N, 3, H, W) u8."""
        pixels = (images.float() - self.mean) / self.std
        features: list[Tensor] = self.net(pixels.contiguous(memory_format=torch.channels_last))
        return features[-len(self.strides) :]
