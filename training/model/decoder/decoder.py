"""The decoder: layers of decoupled self-attention, deformable cross-attention and refinement (MapTRv2 section 3.2)."""

from __future__ import annotations

import torch
from torch import nn

from training.model.config import ModelConfig
from training.model.decoder.attention import Attention, between_instances, within_instances
from training.model.decoder.deformable_attention import DeformableAttention
from training.model.decoder.heads import ClassHead, PointHead
from training.model.decoder.queries import PlaceEncoding, Queries

Tensor = torch.Tensor


class Decoder(nn.Module):
    """From bird's-eye features to classes and points, after each of its layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.queries = Queries(config)
        self.places = PlaceEncoding(config.channels)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.classes = nn.ModuleList(ClassHead(config.channels, len(config.classes)) for _ in range(config.layers))
        self.steps = nn.ModuleList(PointHead(config.channels) for _ in range(config.layers))

    def forward(self, bev: Tensor, many: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (L, B, Q, C), points (L, B, Q, P, 2) and the instances' last features (B, Q, D).

        Iterative refinement (Deformable DETR, appendix A.4): a layer moves the points of the one before, in logits;
        gradients do not flow through them into that layer.
        """
        x, position, place = self.queries(bev.shape[0], many)  # len() would fix the batch of an exported model
        logits, points = [], []
        instances = x.mean(dim=2)
        for layer, classes, step in zip(self.layers, self.classes, self.steps, strict=True):
            reference = place.float().sigmoid()
            x = layer(x, position + self.places(reference), reference, bev, self.queries.one2one)
            instances = x.mean(dim=2)
            with torch.autocast(x.device.type, enabled=False):  # 1 % of a unit would be lost in bfloat16
                place = place.float() + step(x.float())
                logits.append(classes(instances.float()))
                points.append(place.sigmoid())
            place = place.detach()
        return torch.stack(logits), torch.stack(points), instances


class DecoderLayer(nn.Module):
    """One layer; a norm follows each of its four steps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.channels
        self.between = Attention(d, config.heads, config.dropout)
        self.within = Attention(d, config.heads, config.dropout)
        self.cross = DeformableAttention(d, config.heads, config.sampling_points)
        self.feed_forward = nn.Sequential(
            nn.Linear(d, config.feed_forward), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.feed_forward, d)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(4))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, bev: Tensor, one2one: int) -> Tensor:
        """Return points' features (B, Q, P, D) after the layer; reference points (B, Q, P, 2) in 0..1."""
        x = self.norms[0](x + self.drop(between_instances(self.between, x, position, one2one)))
        x = self.norms[1](x + self.drop(within_instances(self.within, x, position)))
        read = self.cross((x + position).flatten(1, 2), reference.flatten(1, 2), bev)
        x = self.norms[2](x + self.drop(read.view_as(x)))
        result: Tensor = self.norms[3](x + self.drop(self.feed_forward(x)))
        return result
