"""Lift, splat (Philion and Fidler 2020): each pixel's feature is spread along its ray by a distribution over depth.

The depth net of MapTRv2 reads the intrinsics of a pinhole camera. Ours reads each pixel's ray and origin in the ego
frame, which say the same of any lens.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from training.data.patch import PatchSize
from training.data.train_batch import Views
from training.model.config import ModelConfig
from training.model.neck import GROUPS

Tensor = torch.Tensor

HEIGHT_M = 10.0  # points farther above or below the ego frame are no road


class DepthLift(nn.Module):
    """LSS: features weighted by depth, added up in the cells that their points fall into."""

    depths: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        near, _, step = config.depth_m
        bins = torch.arange(config.depth_bins) + 0.5
        self.register_buffer("depths", near + step * bins, persistent=False)
        self.patch, self.bev_px = config.patch, config.bev_px
        self.geometry = nn.Conv2d(6, config.channels, 1)
        self.context = nn.Conv2d(config.channels, config.channels, 1)
        self.depth = nn.Sequential(
            nn.Conv2d(config.channels, config.channels, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, config.channels),
            nn.ReLU(),
            nn.Conv2d(config.channels, config.depth_bins, 1),
        )

    def forward(self, features: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Return bird's-eye features (B, D, Hb, Wb) and depth logits (B, V, bins, h, w) of features (B, V, D, h, w)."""
        b, v = features.shape[:2]
        x = features.flatten(0, 1)
        rays = views.rays.flatten(0, 1).movedim(-1, 1)
        origins = views.origins.flatten(0, 1)[..., None, None].expand_as(rays)
        logits = self.depth(x + self.geometry(torch.cat([rays, origins], dim=1)))
        context = self.context(x).float()
        with torch.autocast(x.device.type, enabled=False):  # sums of thousands of small weights
            weights = functional.softmax(logits.float(), dim=1)
            usable = views.image_cells.flatten(0, 1) & views.present.flatten()[:, None, None]
            weights = weights * usable[:, None]
            points = views.origins[:, :, None, None, None] + self.depths[:, None, None, None] * views.rays[:, :, None]
            cells = cells_of(points, self.patch, self.bev_px)  # (B, V, bins, h, w)
            bev = splat(context, weights, cells.flatten(0, 1), b, self.bev_px)
        return bev, logits.view(b, v, *logits.shape[1:])


def cells_of(points: Tensor, patch: PatchSize, bev_px: tuple[int, int]) -> Tensor:
    """Return the number of the cell, row by row, of points (..., 3) in ego metres; rows x columns outside."""
    rows, columns = bev_px
    row = torch.floor((0.5 - points[..., 0] / patch.length_m) * rows)
    column = torch.floor((0.5 - points[..., 1] / patch.width_m) * columns)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns) & (points[..., 2].abs() <= HEIGHT_M)
    return torch.where(inside, row * columns + column, float(rows * columns)).long()


def splat(context: Tensor, weights: Tensor, cells: Tensor, batch: int, bev_px: tuple[int, int]) -> Tensor:
    """Return (B, D, Hb, Wb): the sums over all points of context (B V, D, h, w) times weights (B V, bins, h, w).

    `cells` (B V, bins, h, w) number the raster; its last number is a cell for what lies outside, left out at the end.
    """
    rows, columns = bev_px
    size = rows * columns + 1
    first = size * torch.arange(batch, device=cells.device)
    index = (cells.reshape(batch, -1) + first[:, None]).flatten()
    spread = weights[..., None] * context.movedim(1, -1)[:, None]  # (B V, bins, h, w, D)
    flat = spread.new_zeros(batch * size, context.shape[1]).index_add(0, index, spread.flatten(0, -2))
    return flat.view(batch, size, -1)[:, :-1].transpose(1, 2).reshape(batch, -1, rows, columns)
