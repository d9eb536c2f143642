"""IPM: a cell takes the mean of the cameras that see it, and of no other."""

from __future__ import annotations

from dataclasses import replace

import torch
from random_views import random_views, small_config

from training.model.lift.ipm import GroundLift


def test_equals_reading_cell_by_cell() -> None:
    config = small_config(bev_px=(17, 16), heights_m=(0.0, 0.5))
    lift, views = GroundLift(config), random_views(config)
    torch.manual_seed(0)
    features = torch.randn(2, 3, 16, 2, 4)
    fast = lift(features, views)
    for b, row, column in [(0, 0, 0), (0, 16, 15), (1, 8, 3), (1, 2, 11)]:
        planes = []
        for z in range(2):
            seen = []
            for v in range(3):
                uv = views.cell_uv[b, v, z, row, column]
                if bool(views.present[b, v]) and float(uv[0]) >= 0.0:
                    value = bilinear(features[b, v], float(uv[0]) * 4 - 0.5, float(uv[1]) * 2 - 0.5)
                    seen.append(torch.relu(value + lift._places(uv)))
            planes.append(torch.stack(seen).mean(dim=0) if seen else torch.zeros(16))
        slow = lift.merge(torch.stack(planes, dim=1).view(1, -1, 1, 1))[0, :, 0, 0]
        torch.testing.assert_close(fast[b, :, row, column], slow, rtol=1e-4, atol=1e-5)


def test_features_of_a_resnet_are_read_where_they_look() -> None:
    config = small_config(backbone="resnet18", bev_px=(17, 16))
    assert config.feature_shift_px == -7.5
    lift, views = GroundLift(config), random_views(config)
    centres = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(2), indexing="xy"), dim=-1).view(8, 2)
    views.cell_uv[0, 0, 0, 0, :8] = (centres * 16 + 0.5) / torch.tensor([64, 32])
    views.cell_uv[0, 1:, 0, 0, :8] = -1.0
    features = torch.rand(2, 3, 16, 2, 4)
    torch.nn.init.zeros_(lift.place.weight)
    torch.nn.init.zeros_(lift.place.bias)
    expected = lift.merge(features[:1, 0])[0].flatten(1)
    torch.testing.assert_close(lift.of_seen(features, views)[0, :, 0, :8], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(lift.of_all(features, views)[0, :, 0, :8], expected, rtol=1e-4, atol=1e-5)


def test_sampling_only_what_is_seen_changes_neither_features_nor_gradients() -> None:
    config = small_config(bev_px=(17, 16), heights_m=(0.0, 0.5))
    lift, views = GroundLift(config), random_views(config)
    torch.manual_seed(0)
    ends = torch.tensor([0.0, 0.01, 0.5, 0.99, 1.0])  # at the border of an image a part of a sample lies beyond it
    views.cell_uv[:, :, :, 0, :5] = torch.stack([ends, ends.flip(0)], dim=-1)
    features = torch.randn(2, 3, 16, 2, 4, requires_grad=True)
    weight = torch.randn(2, 16, 17, 16)
    found = []
    for lifted in (lift.of_seen(features, views), lift.of_all(features, views)):
        found.append([lifted, *torch.autograd.grad((lifted * weight).sum(), [features, *lift.parameters()])])
    for seen, every in zip(*found, strict=True):
        torch.testing.assert_close(seen, every, rtol=1e-4, atol=1e-4)


def bilinear(raster: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Read a raster (D, h, w) at x, y in cells from the first one's centre; zero beyond it."""
    total = torch.zeros(len(raster))
    for row in range(raster.shape[1]):
        for column in range(raster.shape[2]):
            total += raster[:, row, column] * max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
    return total


def test_cells_that_no_camera_sees_are_alike() -> None:
    config = small_config()
    views = random_views(config)
    unseen = replace(views, cell_uv=torch.full_like(views.cell_uv, -1.0))
    with torch.no_grad():
        lifted = GroundLift(config)(torch.randn(2, 3, 16, 2, 4), unseen)
    assert float((lifted - lifted[:, :, :1, :1]).abs().max()) < 1e-6
