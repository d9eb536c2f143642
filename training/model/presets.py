"""Named shapes of the model. Torch-free."""

from __future__ import annotations

from typing import Literal

from recon.errors import ConfigInvalid
from training.model.config import ModelConfig

Preset = Literal["tiny", "small", "r50"]

PRESETS: dict[str, ModelConfig] = {
    # Trains on two CPU cores: small images, planes instead of depth, few queries. A road that falls or rises by 0.3 m
    # moves a line 20 m ahead by several metres on a flat plane, so there are three.
    "tiny": ModelConfig(
        image_px=(320, 192),
        backbone="efficientnet_lite0",
        weights="imagenet",
        stride=8,
        lift="ipm",
        heights_m=(-0.3, 0.0, 0.3),
        bev_px=(100, 50),
        channels=64,
        bev_blocks=1,
        layers=3,
        heads=4,
        feed_forward=128,
        dropout=0.0,
        instances=60,
        instances_many=60,
        repeats=3,
        points=10,
    ),
    # One small GPU, or a night on a CPU.
    "small": ModelConfig(
        image_px=(480, 288),
        backbone="efficientnet_lite0",
        weights="imagenet",
        stride=16,
        lift="ipm",
        heights_m=(0.0, 0.5),
        channels=128,
        layers=4,
        feed_forward=256,
        instances=40,
        instances_many=160,
        repeats=4,
    ),
    # MapTRv2 as published. Give `weights` a folder with ImageNet's ResNet-50.
    "r50": ModelConfig(),
}


def preset(name: str) -> ModelConfig:
    """Return the settings of `tiny`, `small` or `r50`; ConfigInvalid names them otherwise."""
    if name not in PRESETS:
        raise ConfigInvalid(f"model.preset {name!r} is unknown; known are {', '.join(PRESETS)}")
    return PRESETS[name]
