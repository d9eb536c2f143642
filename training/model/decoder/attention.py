"""Multi-head attention, and its decoupled form over instances and their points."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2); positions join queries and keys, not values."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query_key = nn.Linear(channels, 2 * channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        for layer in (self.query_key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Return (N, T, D) of tokens and their positions (N, T, D): each of the T attends to all of its row."""
        query, key = self.query_key(x + position).chunk(2, dim=-1)
        value = self.value(x)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        dropout = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        result: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


def between_instances(attention: Attention, x: Tensor, position: Tensor, one2one: int) -> Tensor:
    """Attend from each point to the points of the same number in the other instances (B, Q, P, D).

    MapTRv2 section 3.2, decoupled self-attention, first half. The branches are kept apart as by its attention mask:
    the first `one2one` instances and the others are attended to on their own, at less cost than a mask.
    """
    b, q = x.shape[:2]
    parts = []
    for branch in (slice(0, one2one), slice(one2one, q)):
        if branch.start == branch.stop:
            continue
        rows = (part[:, branch].transpose(1, 2).flatten(0, 1) for part in (x, position))
        parts.append(attention(*rows).unflatten(0, (b, -1)).transpose(1, 2))
    return torch.cat(parts, dim=1)


def within_instances(attention: Attention, x: Tensor, position: Tensor) -> Tensor:
    """Attend from each point to the points of its own instance (B, Q, P, D): the second half."""
    attended: Tensor = attention(x.flatten(0, 1), position.flatten(0, 1))
    return attended.view_as(x)
