"""LSS: features land in the cell that their ray meets at their depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from random_views import random_views, small_config

from training.model.lift.lss import DepthLift, cells_of, splat


def test_splat_equals_the_sum_point_by_point() -> None:
    torch.manual_seed(0)
    context, weights = torch.randn(4, 3, 2, 5), torch.rand(4, 6, 2, 5)
    cells = torch.randint(0, 7 * 3 + 1, (4, 6, 2, 5))
    slow = torch.zeros(2, 3, 7 * 3 + 1)
    for camera in range(4):
        for z, row, column in np.ndindex(6, 2, 5):
            cell = int(cells[camera, z, row, column])
            slow[camera // 2, :, cell] += context[camera, :, row, column] * weights[camera, z, row, column]
    fast = splat(context, weights, cells, 2, (7, 3))
    torch.testing.assert_close(fast, slow[:, :, :-1].unflatten(-1, (7, 3)))


def test_cells_are_those_of_the_patch() -> None:
    config = small_config(bev_px=(24, 16))
    centres = torch.from_numpy(config.patch.cell_centres((24, 16)))
    points = torch.cat([centres, torch.zeros(24, 16, 1)], dim=-1)
    numbers = torch.arange(24 * 16).view(24, 16)
    assert torch.equal(cells_of(points, config.patch, (24, 16)), numbers)
    away = torch.tensor([[31.0, 0.0, 0.0], [0.0, -16.0, 0.0], [0.0, 0.0, 50.0]])
    assert torch.equal(cells_of(away, config.patch, (24, 16)), torch.full((3,), 24 * 16))


def test_a_certain_depth_puts_the_feature_there() -> None:
    config = small_config(lift="lss")
    lift, views = DepthLift(config), random_views(config, batch=1, cameras=1)
    forward = torch.tensor([1.0, 0.0, 0.0]).expand_as(views.rays)
    views = replace(
        views,
        present=torch.ones(1, 1, dtype=torch.bool),
        image_cells=torch.ones(1, 1, 2, 4, dtype=torch.bool),
        rays=forward,
        origins=torch.zeros(1, 1, 3),
    )
    with torch.no_grad():
        lift.depth[-1].weight.zero_()
        lift.depth[-1].bias.fill_(-1e4)
        lift.depth[-1].bias[5] = 1e4  # of bins of 2 m from 1 m on: 12 m
        bev, _ = lift(torch.ones(1, 1, 16, 2, 4), views)
    hit = bev.abs().sum(dim=(0, 1)).nonzero().tolist()
    assert hit == [[int((0.5 - 12.0 / 60.0) * 24), 8]]
