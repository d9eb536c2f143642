"""The bird's-eye encoder: lifted features in context, coarse to fine (the encoder of LSS, section 4.1)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from training.model.neck import GROUPS

Tensor = torch.Tensor


class BevEncoder(nn.Module):
    """Residual blocks at full, half and a quarter of the resolution, brought together at the full one."""

    def __init__(self, channels: int, bev_px: tuple[int, int], blocks: int) -> None:
        super().__init__()
        # What a cell is depends on where it lies: how far cameras are, and which of them look there.
        self.place = nn.Parameter(torch.zeros(channels, *bev_px))
        self.enter = Residual(channels, channels, stride=1)
        self.to_half = nn.Sequential(*(Residual(channels, channels, stride=2 if i == 0 else 1) for i in range(blocks)))
        self.to_quarter = nn.Sequential(
            *(Residual(channels, channels, stride=2 if i == 0 else 1) for i in range(blocks))
        )
        self.middle = Residual(channels, channels, stride=1)
        self.leave = Residual(channels, channels, stride=1)

    def forward(self, lifted: Tensor) -> Tensor:
        """Return (B, D, Hb, Wb) of lifted features of the same shape."""
        full = self.enter(lifted + self.place)
        half = self.to_half(full)
        quarter = self.to_quarter(half)
        half = self.middle(half + _as_large(quarter, half))
        result: Tensor = self.leave(full + _as_large(half, full))
        return result


class Residual(nn.Module):
    """Two convolutions of 3 x 3 and a shortcut (He et al. 2016, figure 2), with group norms."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.GroupNorm(GROUPS, after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.GroupNorm(GROUPS, after),
        )
        self.shortcut = nn.Conv2d(before, after, 1, stride) if stride > 1 or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, after, ceil(h / stride), ceil(w / stride))."""
        return functional.relu(self.body(x) + self.shortcut(x))


def _as_large(x: Tensor, other: Tensor) -> Tensor:
    return functional.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)
