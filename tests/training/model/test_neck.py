"""The neck gives one map at the finest stride, of any sizes."""

from __future__ import annotations

import torch

from training.model.bev_encoder import BevEncoder
from training.model.neck import Neck


def test_the_finest_map_hears_of_all_strides() -> None:
    torch.manual_seed(0)
    neck = Neck((4, 6, 8), 16)
    sizes = [(9, 7), (5, 4), (3, 2)]
    features = [torch.randn(2, c, *s, requires_grad=True) for c, s in zip((4, 6, 8), sizes, strict=True)]
    found = neck(features)
    assert found.shape == (2, 16, 9, 7)
    for feature in torch.autograd.grad(found.square().sum(), features):
        assert float(feature.abs().sum()) > 0.0


def test_the_encoder_keeps_the_size_of_any_raster() -> None:
    encoder = BevEncoder(16, (21, 10), 2)
    assert encoder(torch.randn(2, 16, 21, 10)).shape == (2, 16, 21, 10)
