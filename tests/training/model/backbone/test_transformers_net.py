"""ResNet and Swin of transformers: features of four strides, and weights of a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from recon.errors import ConfigInvalid, ModelInvalid
from training.model.backbone.backbone import Backbone
from training.model.backbone.transformers_net import STAGES
from training.model.config import ModelConfig

pytestmark = pytest.mark.slow  # transformers takes seconds to import


def config(**changes: Any) -> ModelConfig:
    return ModelConfig(**({"image_px": (64, 64), "backbone": "resnet18", "stride": 8} | changes))


@pytest.mark.parametrize(
    ("name", "channels"),
    [("resnet18", (128, 256, 512)), ("resnet50", (512, 1024, 2048)), ("swin", (192, 384, 768))],
)
def test_features_have_their_strides(name: str, channels: tuple[int, ...]) -> None:
    backbone = Backbone(config(backbone=name)).eval()
    assert backbone.channels == channels
    with torch.no_grad():
        features = backbone(torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8))
    assert [tuple(f.shape) for f in features] == [
        (2, c, 64 // s, 64 // s) for c, s in zip(channels, (8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "swin"])
def test_features_look_where_the_settings_say(name: str) -> None:
    """The middle of what a feature depends on, by its gradients over random images."""
    torch.manual_seed(0)
    shape = config(backbone=name, image_px=(128, 128))
    net = Backbone(shape).eval().net
    found = []
    for _ in range(8):
        pixels = torch.randn(1, 3, 128, 128, requires_grad=True)
        features = net(pixels)[-3]
        value = (features[0, :, 8, 8] * torch.randn(features.shape[1])).sum()
        (gradient,) = torch.autograd.grad(value, pixels)
        weight = gradient.square().sum(dim=(0, 1))
        places = torch.arange(128) + 0.5 - 8.5 * 8
        found += [float((weight.sum(dim=d) * places).sum() / weight.sum()) for d in (0, 1)]
    assert sum(found) / len(found) == pytest.approx(shape.feature_shift_px, abs=0.8)


@pytest.mark.parametrize("name", ["resnet18", "swin"])
def test_a_folder_gives_its_weights_and_freezes_norms(name: str, tmp_path: Path) -> None:
    source = Backbone(config(backbone=name)).eval()
    source.net.net.save_pretrained(tmp_path)
    loaded = Backbone(config(backbone=name, weights=str(tmp_path))).train()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected, found = source(images), (loaded.eval() if name == "swin" else loaded)(images)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_classifier_s_folder_is_taken_without_its_head(tmp_path: Path) -> None:
    import transformers

    small = transformers.ResNetConfig(layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512])
    transformers.ResNetForImageClassification(small).save_pretrained(tmp_path)
    assert Backbone(config(weights=str(tmp_path))).channels == (128, 256, 512)


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    import transformers

    with pytest.raises(ConfigInvalid, match="no package holds"):
        Backbone(config(weights="imagenet"))
    with pytest.raises(ModelInvalid, match=r"config\.json"):
        Backbone(config(weights=str(tmp_path)))
    tiny = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    transformers.ViTModel(tiny).save_pretrained(tmp_path)
    with pytest.raises(ModelInvalid):
        Backbone(config(weights=str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("resnet50", {"downsample_in_bottleneck": True}, "downsample_in_bottleneck True, not False"),
        ("resnet18", {"depths": [3, 4, 6, 3]}, r"depths \[3, 4, 6, 3\], not \[2, 2, 2, 2\]"),
        ("resnet18", {"hidden_act": "gelu"}, "hidden_act gelu, not relu"),
    ],
)
def test_another_architecture_of_the_family_is_refused(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """It would be trained as what it is, and loaded later as the published one."""
    import transformers

    kind, sizes = ("basic", [64, 128, 256, 512]) if name == "resnet18" else ("bottleneck", [256, 512, 1024, 2048])
    depths = [2, 2, 2, 2] if name == "resnet18" else [3, 4, 6, 3]
    fields = {"layer_type": kind, "depths": depths, "hidden_sizes": sizes, "out_features": STAGES} | changes
    transformers.ResNetBackbone(transformers.ResNetConfig(**fields)).save_pretrained(tmp_path)
    with pytest.raises(ModelInvalid, match=f"not those of a {name}: .*{said}"):
        Backbone(config(backbone=name, weights=str(tmp_path)))
