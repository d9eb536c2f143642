"""Hierarchical queries (MapTR section 3.2): a query is the sum of its instance's embedding and its point's.

MapTR reads the first points from that sum, so that all instances begin as one shape at different places. Here each
instance has first points of its own, which can begin where labels lie (`training.mapper.first_shapes`).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from training.model.config import ModelConfig

Tensor = torch.Tensor

FIRST_LENGTH = 0.2  # of the lines that instances begin as where no labels say better, in patches
EDGE = 0.01  # how near to the edge of the patch first points may lie: logits have no end there
OCTAVES = 8  # of a point's place: from twice the patch down to a 64th of it


class Queries(nn.Module):
    """Embeddings of all instances, those of the one-to-many branch last, and of the points that they share."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.one2one = config.instances
        self.instance = nn.Embedding(config.instances + config.instances_many, 2 * config.channels)
        self.point = nn.Embedding(config.points, 2 * config.channels)
        self.first = nn.Parameter(_logits(_random_lines(len(self.instance.weight), config.points)))

    @torch.no_grad()
    def start_at(self, shapes: Tensor) -> None:
        """Begin with shapes (N, P, 2) in unit coordinates, one for each instance of both branches."""
        self.first.copy_(_logits(shapes))

    def forward(self, batch: int, many: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return contents (B, Q, P, D), positions of the same shape and logits of the first points (B, Q, P, 2)."""
        instances = self.instance.weight if many else self.instance.weight[: self.one2one]
        both = instances[:, None] + self.point.weight
        content, position = both.expand(batch, *both.shape).chunk(2, dim=-1)
        return content, position, self.first[: len(instances)].expand(batch, -1, -1, -1)


def _random_lines(count: int, points: int) -> Tensor:
    """Return straight lines (count, points, 2) of any direction, anywhere in the unit square."""
    middles, angles = torch.rand(count, 1, 2), 2.0 * math.pi * torch.rand(count, 1)
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    return middles + FIRST_LENGTH * torch.linspace(-0.5, 0.5, points)[:, None] * directions


def _logits(unit: Tensor) -> Tensor:
    return torch.logit(unit.float(), eps=EDGE)


class PlaceEncoding(nn.Module):
    """Where a query's point lies now, added to its position (Liu et al. 2022, DAB-DETR, section 4.2).

    MapTR's positions stay the same in all layers, so that attention between points never reads where they went. Here it
    reads the shape that it refines.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4 * OCTAVES, channels), nn.ReLU(), nn.Linear(channels, channels))

    def forward(self, reference: Tensor) -> Tensor:
        """Return (..., D) of points (..., 2) in 0..1: an MLP on sines and cosines of octaves."""
        phases = reference[..., None] * (math.pi * 2.0 ** torch.arange(OCTAVES, device=reference.device))
        encoded: Tensor = self.layers(torch.cat([phases.sin(), phases.cos()], dim=-1).flatten(-2))
        return encoded
