"""Soft rasters equal those of every pixel against every edge, and move their points the right way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.match.raster import _near, _near_on_cpu, soft_rasters

pytestmark = pytest.mark.slow

SHAPE = (40, 24)


def slow(chain, closed, area):
    """Return the raster (H, W), pixel by pixel and edge by edge in float64."""
    px = np.asarray(chain, float) * SHAPE[::-1]
    edges = list(zip(px, [*px[1:], px[0]], strict=True))
    used = edges if closed or area else edges[:-1]
    raster = np.zeros(SHAPE)
    for r, c in np.ndindex(SHAPE):
        at, least = np.array([c + 0.5, r + 0.5]), np.inf
        for a, b in used:
            share = np.clip(np.dot(at - a, b - a) / max(np.dot(b - a, b - a), 1e-12), 0, 1)
            least = min(least, np.sum((at - a - share * (b - a)) ** 2))
        if not area:
            raster[r, c] = np.exp(-least / 2)
            continue
        inside = False
        for a, b in edges:
            if (a[1] <= at[1]) != (b[1] <= at[1]):
                inside ^= bool(a[0] + (at[1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1]) < at[0])
        raster[r, c] = 1 / (1 + np.exp(-(1 if inside else -1) * least / 4))
    return raster


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), closed=st.booleans(), area=st.booleans())
def test_every_pixel_is_that_of_the_slow_raster(seed, closed, area):
    chain = np.random.default_rng(seed).random((6, 2), dtype=np.float32)
    fast = soft_rasters(torch.from_numpy(chain)[None], torch.tensor([closed]), torch.tensor([area]), SHAPE)[0].numpy()
    assert np.abs(fast - slow(chain, closed, area)).max() < 3e-3


def test_the_kernel_finds_the_pixels_that_a_search_of_blocks_finds():
    random = np.random.default_rng(0)
    ends = torch.from_numpy(random.random((2, 20, 6, 2)) * 60 - 10)
    ends[1, 1] = ends[0, 1]
    found = []
    for near in (_near, _near_on_cpu):
        which, pixel, edge = near(*ends, SHAPE)
        order = torch.argsort(which * SHAPE[0] * SHAPE[1] + pixel)
        found.append([which[order], pixel[order], edge[order]])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_gradients_are_those_of_finite_differences():
    random = np.random.default_rng(0)
    chains = torch.from_numpy(random.random((3, 5, 2)) * 0.6 + 0.2).requires_grad_()
    weight = torch.from_numpy(random.random(SHAPE))
    closed, areas = torch.tensor([False, True, False]), torch.tensor([False, False, True])
    assert torch.autograd.gradcheck(
        lambda points: (soft_rasters(points, closed, areas, SHAPE) * weight).sum(), chains, eps=1e-7, atol=0.05
    )


def test_no_chains_and_chains_without_length():
    none = torch.zeros(0, dtype=torch.bool)
    assert soft_rasters(torch.zeros(0, 4, 2), none, none, SHAPE).shape == (0, *SHAPE)
    one = torch.full((1, 4, 2), 0.5, requires_grad=True)
    raster = soft_rasters(one, torch.tensor([False]), torch.tensor([False]), SHAPE)
    raster.sum().backward()
    assert torch.isfinite(one.grad).all()
    assert raster.max() > 0.7
