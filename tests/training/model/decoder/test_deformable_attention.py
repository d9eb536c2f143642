"""Deformable attention equals transformers' own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.model.decoder.deformable_attention import DeformableAttention, by_grid_sample, by_kernels


@pytest.mark.slow  # transformers takes seconds to import
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12),
    st.sampled_from([1, 2, 4]), st.integers(1, 4),
)  # fmt: skip
def test_equals_transformers(seed: int, b: int, t: int, rows: int, columns: int, heads: int, points: int) -> None:
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention as Theirs,
    )

    torch.manual_seed(seed)
    ours, theirs = DeformableAttention(8, heads, points), Theirs(8, heads, 1, points)
    pairs = [
        (ours.offsets, theirs.sampling_offsets),
        (ours.weights, theirs.attention_weights),
        (ours.value, theirs.value_proj),
        (ours.out, theirs.output_proj),
    ]
    with torch.no_grad():
        for one, other in pairs:
            one.weight.normal_()
            one.bias.normal_()
            other.load_state_dict(one.state_dict())
    query, raster = torch.randn(b, t, 8), torch.randn(b, 8, rows, columns, requires_grad=True)
    reference = torch.rand(b, t, 2) * 1.4 - 0.2  # some beyond the raster
    mine = ours(query, reference, raster)
    expected, _ = theirs(
        query,
        encoder_hidden_states=raster.flatten(2).transpose(1, 2),
        reference_points=reference[:, :, None],
        spatial_shapes_list=[(rows, columns)],
        level_start_index=torch.tensor([0]),
    )
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(mine.square().sum(), raster, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected.square().sum(), raster)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3 * (1.0 + float(wanted.abs().max())))


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_starts_by_looking_around_the_reference(heads: int) -> None:
    offsets = DeformableAttention(16, heads, 3).offsets.bias.detach().view(heads, 3, 2)
    reach = offsets.abs().amax(dim=-1)
    assert torch.allclose(reach, torch.tensor([1.0, 2.0, 3.0]).expand(heads, 3))
    assert len({tuple(round(float(v), 4) for v in row[0]) for row in offsets}) == heads


def test_the_kernels_equal_grid_sample() -> None:
    torch.manual_seed(0)
    shape, b, t, heads, points = (7, 5), 2, 40, 3, 2
    value = torch.randn(b, 35, heads, 4, requires_grad=True)
    places = torch.rand(b, t, heads, points, 2) * torch.tensor([9.0, 11.0]) - 2.0  # some beyond the raster
    places[:, :4] = torch.tensor([[0.5, 0.5], [4.5, 6.5]])  # centres of cells
    places.requires_grad_()
    shares = torch.rand(b, t, heads, points, requires_grad=True)
    weight = torch.randn(b, t, heads, 4)
    found = []
    for read in (by_kernels, by_grid_sample):
        out = read(value, places, shares, shape)
        found.append([out, *torch.autograd.grad((out * weight).sum(), [value, places, shares])])
    for gradients in found:
        gradients[2][:, :4] = 0.0  # at the centre of a cell the slope may be that of either side
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_place_that_is_not_finite_reads_nothing() -> None:
    places = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30])[None, :, None, None, None].expand(1, 4, 1, 1, 2)
    read = by_kernels(torch.ones(1, 4, 1, 2), places, torch.ones(1, 4, 1, 1), (2, 2))
    assert read.abs().max().item() == 0.0
