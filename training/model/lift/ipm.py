"""Inverse perspective mapping: each cell of the ground takes the features at its place in the images.

Coarse features hold the layout inside their cells of 8 or 16 pixels, and many ground cells near the horizon fall into
one of them. So each sample is told where in the image it was taken, in cells of the features (as an implicit image
function is, Chen et al. 2021, equation 1), and mixes that with what it read before the cameras are averaged.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from training.data.train_batch import Views
from training.model.config import ModelConfig

Tensor = torch.Tensor

OCTAVES = 3  # of the place within a feature cell


class GroundLift(nn.Module):
    """IPM on planes above the ground, the mean over the cameras that see a cell."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.feature_px = config.feature_px
        self.place = nn.Linear(4 * OCTAVES, config.channels)
        self.merge = nn.Conv2d(config.channels * len(config.heights_m), config.channels, 1)

    def forward(self, features: Tensor, views: Views) -> Tensor:
        """Return (B, D, Hb, Wb) of features (B, V, D, h, w)."""
        b, v, d = features.shape[:3]
        z, rows, columns = views.cell_uv.shape[2:5]
        uv = views.cell_uv.flatten(0, 1).reshape(b * v, z * rows, columns, 2)
        with torch.autocast(features.device.type, enabled=False):  # half a feature cell is lost in bfloat16
            sampled = functional.grid_sample(
                features.flatten(0, 1).float(), 2.0 * uv - 1.0, mode="bilinear", align_corners=False
            )
        seen = (uv[..., 0] >= 0.0) & views.present.flatten()[:, None, None]
        mixed = functional.relu(sampled + self._places(uv).movedim(-1, 1))
        weight = seen.to(mixed.dtype)[:, None]
        total = (mixed * weight).view(b, v, d, z, rows, columns).sum(dim=1)
        count = weight.view(b, v, 1, z, rows, columns).sum(dim=1)
        mean = total / count.clamp(min=1.0)
        merged: Tensor = self.merge(mean.flatten(1, 2))
        return merged

    def _places(self, uv: Tensor) -> Tensor:
        """Return (N, rows, columns, D): sines and cosines of the place, the longest of two feature cells."""
        cells = uv * uv.new_tensor([self.feature_px[1], self.feature_px[0]])
        phases = [cells * (math.pi * 2.0**octave) for octave in range(OCTAVES)]
        waves = torch.cat([part for phase in phases for part in (phase.sin(), phase.cos())], dim=-1)
        encoded: Tensor = self.place(waves)
        return encoded
