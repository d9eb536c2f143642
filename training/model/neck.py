"""The neck: one map of features from those of several strides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor

GROUPS = 8  # of the group norms: batches are small, and an absent camera must not shift what the others see


class Neck(nn.Module):
    """A feature pyramid (Lin et al. 2017, section 3) of which only the finest map is made."""

    def __init__(self, before: Sequence[int], channels: int) -> None:
        """Take `before` channels, finest stride first."""
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in before)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (N, channels, h, w) at the finest stride of `features`."""
        maps = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        x = maps[-1]
        for finer in reversed(maps[:-1]):
            x = finer + functional.interpolate(x, size=finer.shape[-2:], mode="nearest")
        return functional.relu(self.norm(self.smooth(x)))
