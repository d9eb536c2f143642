"""Small models and random views for them: no road, but every shape that a model reads."""

from __future__ import annotations

from typing import Any

import torch

from training.data.train_batch import Views
from training.model.config import ModelConfig


def small_config(**changes: Any) -> ModelConfig:
    """Return the settings of a model that runs in milliseconds, with random weights."""
    settings: dict[str, Any] = {
        "image_px": (64, 32),
        "backbone": "efficientnet_lite0",
        "stride": 16,
        "lift": "ipm",
        "bev_px": (24, 16),
        "channels": 16,
        "bev_blocks": 1,
        "layers": 2,
        "heads": 2,
        "feed_forward": 32,
        "dropout": 0.0,
        "instances": 4,
        "instances_many": 6,
        "repeats": 2,
        "points": 5,
        "depth_m": (1.0, 21.0, 2.0),
    }
    return ModelConfig(**(settings | changes))


def random_views(config: ModelConfig, batch: int = 2, cameras: int = 3, seed: int = 0) -> Views:
    """Return views whose cells lie anywhere, a third of them unseen; the last camera of the last sample is missing."""
    generator = torch.Generator().manual_seed(seed)
    width, height = config.image_px
    shape = (batch, cameras)
    cell_uv = torch.rand(*shape, len(config.heights_m), *config.bev_px, 2, generator=generator)
    cell_uv[torch.rand(cell_uv.shape[:-1], generator=generator) < 1 / 3] = -1.0
    images = torch.randint(0, 256, (*shape, 3, height, width), generator=generator, dtype=torch.uint8)
    present = torch.ones(shape, dtype=torch.bool)
    present[-1, -1] = False
    return Views(
        images=images * present[..., None, None, None],
        present=present,
        cell_uv=cell_uv,
        rays=torch.randn(*shape, *config.feature_px, 3, generator=generator),
        origins=torch.randn(*shape, 3, generator=generator),
        image_cells=torch.rand(*shape, *config.feature_px, generator=generator) < 0.9,
    )
