"""Deformable attention (Zhu et al. 2021, equation 2) on one raster, by `grid_sample`."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


class DeformableAttention(nn.Module):
    """Each query reads the raster at a few places near its reference point, which it chooses itself."""

    def __init__(self, channels: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offsets = nn.Linear(channels, heads * points * 2)
        self.weights = nn.Linear(channels, heads * points)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self._start()

    def _start(self) -> None:
        """Start with each head looking in a direction of its own, its points 1, 2, 3... cells away (appendix A.4)."""
        angles = torch.arange(self.heads) * (2.0 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.points + 1)[None, :, None]
        with torch.no_grad():
            self.offsets.bias.copy_((directions[:, None] * steps).flatten())
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, reference: Tensor, raster: Tensor) -> Tensor:
        """Return (B, T, D) of queries (B, T, D), reference points (B, T, 2) in 0..1 and a raster (B, D, rows, columns).

        Reference points are columns and rows, as everywhere in `training.data.patch`.
        """
        b, t = query.shape[:2]
        rows, columns = raster.shape[-2:]
        # The value of a cell does not depend on the query: projected once, then cut into heads.
        value = self.value(raster.flatten(2).transpose(1, 2)).transpose(1, 2)
        value = value.reshape(b * self.heads, -1, rows, columns)
        weights = self.weights(query).view(b, t, self.heads, self.points).softmax(dim=-1)
        offsets = self.offsets(query).view(b, t, self.heads, self.points, 2)
        with torch.autocast(query.device.type, enabled=False):  # places would be half a cell off in bfloat16
            cells = torch.tensor([columns, rows], device=query.device, dtype=torch.float32)
            places = reference.float()[:, :, None, None] + offsets.float() / cells
            grid = 2.0 * places.transpose(1, 2).flatten(0, 1) - 1.0  # (B heads, T, points, 2)
            read = functional.grid_sample(value.float(), grid, mode="bilinear", align_corners=False)
            shares = weights.float().transpose(1, 2).flatten(0, 1)[:, None]
            heads = (read * shares).sum(dim=-1)  # (B heads, D / heads, T)
        result: Tensor = self.out(heads.view(b, -1, t).transpose(1, 2))
        return result
