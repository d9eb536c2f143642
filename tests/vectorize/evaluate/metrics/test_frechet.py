from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import element, random_elements

from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.frechet import FrechetBatch, frechet
from vectorize.evaluate.metrics.sampled_element import sample_element

CONFIG = EvaluateConfig()


def slow(a, b):
    """Return the recursion as it is written in the books."""

    @cache
    def d(i, j):
        here = float(np.hypot(*(a[i] - b[j])))
        if i == 0 and j == 0:
            return here
        before = [d(p, q) for p, q in ((i - 1, j), (i - 1, j - 1), (i, j - 1)) if p >= 0 and q >= 0]
        return max(min(before), here)

    return d(len(a) - 1, len(b) - 1)


def measured(a, b, config=CONFIG):
    matrix, batch = np.full((1, 1), np.inf), FrechetBatch(config)
    batch.add(matrix, 0, 0, sample_element(a, config), sample_element(b, config))
    batch.solve()
    return float(matrix[0, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_diagonals_are_the_recursion(n, seed):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=(2, 3, n, 2))
    assert frechet(a, b) == pytest.approx([slow(p, q) for p, q in zip(a, b, strict=True)])


def test_parallel_lines_are_their_offset_apart_in_either_direction():
    a, b = element([[0, 0], [20, 0]]), element([[0, 0.4], [20, 0.4]])
    assert measured(a, b) == pytest.approx(0.4)
    assert measured(a, element(b.vertices[::-1])) == pytest.approx(0.4)


def test_a_detour_that_chamfer_forgives_costs_its_whole_width():
    # A spike of 1.2 m: on average near, but the leash must follow it. Samples lie 22.4 m / 99 apart, so up to half of
    # that of its tip may fall between two.
    a, b = element([[0, 0], [20, 0]]), element([[0, 0], [10, 0], [10, 1.2], [10, 0], [20, 0]])
    assert 1.2 - 22.4 / 99 / 2 <= measured(a, b) <= 1.2


def test_where_a_ring_starts_and_how_it_turns_means_nothing():
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4.0]])
    ring = element(square, name="ped_crossing", closed=True)
    # One quarter of the samples per side, so that every start of a side is a sample.
    for k in range(4):
        assert measured(ring, element(np.roll(square, k, axis=0), closed=True)) == pytest.approx(0.0, abs=1e-9)
    assert measured(ring, element(square[::-1], closed=True)) == pytest.approx(0.0, abs=1e-9)
    assert measured(ring, element(square + [0.3, 0.4], closed=True)) == pytest.approx(0.5, abs=0.06)


def test_a_ring_and_a_line_around_the_same_island_agree():
    angle = np.linspace(0, 2 * np.pi, 81)
    circle = 5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring = element(circle[:-1], name="boundary", closed=True)
    assert measured(ring, element(np.roll(circle[:-1], 30, axis=0)[:80], name="boundary")) < 0.5


def test_rings_agree_with_every_shift_tried_slowly():
    generator = np.random.default_rng(4)
    config = EvaluateConfig(ring_samples=13, thresholds_m=(0.5, 50.0))
    a, b = random_elements(generator, 2, closed=True)
    p, q = (sample_element(e, config).coarse(13) for e in (a, b))
    around = [np.roll(p[:-1], k, axis=0) for k in range(12)]
    traversals = [np.concatenate([w, w[:1]]) for w in around]
    expected = min(slow(w, q) for walk in traversals for w in (walk, walk[::-1]))
    assert measured(a, b, config) == pytest.approx(expected)


def test_out_of_reach_is_infinite():
    assert measured(element([[0, 0], [20, 0]]), element([[0, 3], [20, 3]])) == np.inf
