"""Heads of a decoder layer: classes of instances, and steps of their points."""

from __future__ import annotations

import math

import torch
from torch import nn

Tensor = torch.Tensor

FIRST_SCORE = 0.01  # of all classes before training, so that the focal loss starts small (Lin et al. 2017, section 4.1)


class ClassHead(nn.Module):
    """Logits of an instance from the mean over its points."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, channels),
            nn.LayerNorm(channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.LayerNorm(channels),
            nn.ReLU(),
        )
        self.last = nn.Linear(channels, classes)
        nn.init.constant_(self.last.bias, math.log(FIRST_SCORE / (1.0 - FIRST_SCORE)))

    def forward(self, instances: Tensor) -> Tensor:
        """Return (B, Q, C) of the means of instances (B, Q, D)."""
        logits: Tensor = self.last(self.layers(instances))
        return logits


class PointHead(nn.Module):
    """The step of a point's logits; it begins as no step at all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 2)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, Q, P, 2) of points (B, Q, P, D)."""
        step: Tensor = self.layers(x)
        return step
