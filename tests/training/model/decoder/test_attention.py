"""Decoupled self-attention: equal to full attention under a mask, and to PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training.model.decoder.attention import Attention, between_instances, within_instances

B, Q, P, D = 2, 7, 3, 8


def masked(attention: Attention, x: torch.Tensor, position: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    """Attend from every query to all queries that `allowed` (Q P, Q P) leaves: slow, and plain."""
    tokens, places = x.flatten(1, 2), position.flatten(1, 2)
    query, key = attention.query_key(tokens + places).chunk(2, dim=-1)
    rows = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in (query, key, attention.value(tokens)))
    mixed = functional.scaled_dot_product_attention(*rows, attn_mask=allowed)
    return attention.out(mixed.transpose(1, 2).flatten(2)).view_as(x)


@pytest.fixture
def parts() -> tuple[Attention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return Attention(D, 2, 0.0), torch.randn(B, Q, P, D), torch.randn(B, Q, P, D)


@pytest.mark.parametrize("one2one", [3, Q])
def test_branches_are_apart_as_under_a_mask(parts, one2one: int) -> None:
    attention, x, position = parts
    instance, point = torch.arange(Q).repeat_interleave(P), torch.arange(P).repeat(Q)
    branch = instance < one2one
    allowed = (point[:, None] == point) & (branch[:, None] == branch)
    expected = masked(attention, x, position, allowed)
    torch.testing.assert_close(between_instances(attention, x, position, one2one), expected)


def test_points_attend_to_their_own_instance(parts) -> None:
    attention, x, position = parts
    instance = torch.arange(Q).repeat_interleave(P)
    expected = masked(attention, x, position, instance[:, None] == instance)
    torch.testing.assert_close(within_instances(attention, x, position), expected)


def test_equals_pytorch(parts) -> None:
    attention, x, position = parts
    theirs = torch.nn.MultiheadAttention(D, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([attention.query_key.weight, attention.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([attention.query_key.bias, attention.value.bias]))
        theirs.out_proj.load_state_dict(attention.out.state_dict())
    tokens, places = x.flatten(0, 1), position.flatten(0, 1)
    expected, _ = theirs(tokens + places, tokens + places, tokens)
    torch.testing.assert_close(attention(tokens, places), expected)
