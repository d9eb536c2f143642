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
        self.shift = tuple(config.feature_shift_px / side for side in config.image_px)
        self.place = nn.Linear(4 * OCTAVES, config.channels)
        self.merge = nn.Conv2d(config.channels * len(config.heights_m), config.channels, 1)

    def forward(self, features: Tensor, views: Views) -> Tensor:
        """Return (B, D, Hb, Wb) of features (B, V, D, h, w)."""
        if features.device.type == "cpu" and not torch.compiler.is_exporting():
            return self.of_seen(features, views)
        return self.of_all(features, views)

    def of_all(self, features: Tensor, views: Views) -> Tensor:
        """Sample every cell in every camera: what a GPU does best, and what ONNX knows."""
        b, v, d = features.shape[:3]
        z, rows, columns = views.cell_uv.shape[2:5]
        cell_uv = views.cell_uv.flatten(0, 1).reshape(b * v, z * rows, columns, 2)
        uv = self._looked_at(cell_uv)
        with torch.autocast(features.device.type, enabled=False):  # half a feature cell is lost in bfloat16
            sampled = functional.grid_sample(
                features.flatten(0, 1).float(), 2.0 * uv - 1.0, mode="bilinear", align_corners=False
            )
        seen = (cell_uv[..., 0] >= 0.0) & views.present.flatten()[:, None, None]
        mixed = functional.relu(sampled + self._places(uv).movedim(-1, 1))
        weight = seen.to(mixed.dtype)[:, None]
        total = (mixed * weight).view(b, v, d, z, rows, columns).sum(dim=1)
        count = weight.view(b, v, 1, z, rows, columns).sum(dim=1)
        mean = total / count.clamp(min=1.0)
        merged: Tensor = self.merge(mean.flatten(1, 2))
        return merged

    def of_seen(self, features: Tensor, views: Views) -> Tensor:
        """Sample only where a camera sees a cell: a fifth of all on a ring of six. Equals `of_all`."""
        b, _, d = features.shape[:3]
        z, rows, columns = views.cell_uv.shape[2:5]
        seen = ((views.cell_uv[..., 0] >= 0.0) & views.present[:, :, None, None, None]).movedim(1, -1)
        sample, plane, row, column, camera = seen.nonzero(as_tuple=True)
        uv = self._looked_at(views.cell_uv[sample, camera, plane, row, column])
        mixed = functional.relu(_sampled(features, sample, camera, uv) + self._places(uv))
        cell = ((sample * rows + row) * columns + column) * z + plane
        total = mixed.new_zeros(b * rows * columns * z, d).index_add(0, cell, mixed)
        count = seen.sum(dim=-1).movedim(1, -1).reshape(-1, 1)
        mean = (total / count.clamp(min=1)).view(b, rows, columns, z * d)
        # `merge` has the planes of a channel side by side, `mean` the channels of a plane.
        weight = self.merge.weight.view(-1, d, z).transpose(1, 2).flatten(1)
        # The channels stay last in memory, which the convolutions that follow like best.
        return functional.linear(mean, weight, self.merge.bias).permute(0, 3, 1, 2)

    def _looked_at(self, uv: Tensor) -> Tensor:
        """Return where among the features (0..1) that one lies which looks at places (..., 2) of the input."""
        return uv - uv.new_tensor(self.shift)

    def _places(self, uv: Tensor) -> Tensor:
        """Return (N, rows, columns, D): sines and cosines of the place, the longest of two feature cells."""
        cells = uv * uv.new_tensor([self.feature_px[1], self.feature_px[0]])
        phases = [cells * (math.pi * 2.0**octave) for octave in range(OCTAVES)]
        waves = torch.cat([part for phase in phases for part in (phase.sin(), phase.cos())], dim=-1)
        encoded: Tensor = self.place(waves)
        return encoded


def _sampled(features: Tensor, sample: Tensor, camera: Tensor, uv: Tensor) -> Tensor:
    """Return (N, D) of features (B, V, D, h, w) at places (N, 2): what `grid_sample` reads, zero beyond the image."""
    cameras, channels, height, width = features.shape[1:]
    places = uv * uv.new_tensor([width, height]) - 0.5
    near = places.floor()
    far_share = places - near
    shares = torch.stack([1.0 - far_share, far_share])  # (2, N, 2)
    ends = torch.stack([near, near + 1.0]).long()
    column, row = ends[..., 0].T, ends[..., 1].T  # (N, 2)
    column_share = shares[..., 0].T * ((column >= 0) & (column < width))
    row_share = shares[..., 1].T * ((row >= 0) & (row < height))
    first = ((sample * cameras + camera) * height)[:, None, None]
    pixel = (first + row.clamp(0, height - 1)[:, :, None]) * width + column.clamp(0, width - 1)[:, None]
    share = row_share[:, :, None] * column_share[:, None]
    table = features.movedim(2, -1).reshape(-1, channels).float()
    return functional.embedding_bag(pixel.flatten(1), table, per_sample_weights=share.flatten(1), mode="sum")
