from __future__ import annotations

import numpy as np
import pytest

from vectorize.polyline import resample
from vectorize.trace.lines.strand import Strand
from vectorize.trace.lines.zigzags import is_zigzag


def strand(xy_m):
    dense = resample(np.asarray(xy_m, dtype=np.float64), 0.1)
    nothing = np.zeros(len(dense), dtype=bool)
    return Strand(xy_m=dense, paint=np.ones(len(dense)), bridged=nothing, faint=nothing, width_m=0.15)


@pytest.mark.parametrize("radius_m", [np.inf, 30.0])
def test_a_line_that_swings_at_one_period_is_a_zigzag(radius_m):
    x = np.arange(0.0, 24.0, 2.0)
    xy = np.stack([x, x**2 / (2 * radius_m) + 0.25 * (-1.0) ** np.arange(len(x))], axis=1)
    assert is_zigzag(strand(xy))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_line_that_wavers_or_bends_is_none(seed):
    rng = np.random.default_rng(seed)
    x = np.arange(0.0, 60.0, 2.0)
    wavering = np.stack([x, rng.normal(0.0, 0.03, len(x))], axis=1)
    bends = np.stack([x, 3.0 * np.sin(x / 6.0)], axis=1)
    assert not is_zigzag(strand(wavering))
    assert not is_zigzag(strand(bends))


def test_a_short_piece_is_none():
    assert not is_zigzag(strand([(0.0, 0.0), (1.0, 0.2)]))


def test_swings_of_different_lengths_are_none():
    x = np.array([0.0, 1.0, 2.0, 7.0, 8.0, 12.0, 13.0, 14.0, 20.0, 21.0])
    assert not is_zigzag(strand(np.stack([x, 0.25 * (-1.0) ** np.arange(len(x))], axis=1)))
