from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import box, element, random_elements

from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.matching import nearest_match
from vectorize.evaluate.metrics.pairing import pair

CONFIG = EvaluateConfig()


def chamfer(predicted, true, config=CONFIG):
    return pair(predicted, true, config, FrechetBatch(config)).chamfer


def slow_maptr(predicted, true):
    """Return -score of every pair after seed-systems C.3, one pair and point at a time; 100 where buffers miss."""

    def sampled(e):
        ring = np.concatenate([e.vertices, e.vertices[:1]]) if e.closed else e.vertices
        line = shapely.LineString(ring[:, :2])
        return np.array([line.interpolate(d).coords[0] for d in np.linspace(0, line.length, 100)])

    def buffered(points):
        return shapely.LineString(points).buffer(2.0, cap_style="flat", join_style="mitre")

    result = np.full((len(predicted), len(true)), 100.0)
    for i, p in enumerate(map(sampled, predicted)):
        for j, t in enumerate(map(sampled, true)):
            if buffered(p).intersects(buffered(t)):
                forth = np.mean([np.hypot(*(t - point).T).min() for point in p])
                back = np.mean([np.hypot(*(p - point).T).min() for point in t])
                result[i, j] = (forth + back) / 2
    return result


@pytest.mark.parametrize("closed", [False, True])
def test_chamfer_is_maptrs_within_reach(closed):
    generator = np.random.default_rng(11)
    predicted, true = (random_elements(generator, 8, closed=closed) for _ in range(2))
    fast, slow = chamfer(predicted, true), slow_maptr(predicted, true)
    assert (slow <= 1.5).sum() >= 3
    assert np.array_equal(fast < np.inf, slow <= 1.5)
    assert fast[fast < np.inf] == pytest.approx(slow[slow <= 1.5])
    scores = np.array([e.score for e in predicted])
    for threshold in CONFIG.thresholds_m:
        assert nearest_match(fast, scores, threshold).tolist() == nearest_match(slow, scores, threshold).tolist()


def test_parallel_lines_are_their_offset_apart_whatever_their_direction():
    a, b = element([[0, 0], [30, 0]]), element([[0, 0.4], [30, 0.4]])
    assert chamfer([a], [b]) == pytest.approx(0.4)
    assert chamfer([a], [element(b.vertices[::-1])]) == pytest.approx(0.4)


def test_half_of_a_line_by_hand():
    # Forth: samples 8/99 m apart on one, 16/99 m on the other, so every second one misses by 8/99 m.
    # Back: sample k of the long line, beyond the half from k = 50 on, lies 16 k / 99 - 8 m from the short one's end.
    a, b = element([[0, 0], [8, 0]]), element([[0, 0], [16, 0]])
    forth, back = 8 / 99 / 2, sum(16 * k / 99 - 8 for k in range(50, 100)) / 100
    assert chamfer([a], [b])[0, 0] == pytest.approx((forth + back) / 2)


def test_buffers_have_flat_ends():
    # 0.9 m apart end to end, yet MapTR's buffers do not meet; side by side they do.
    a = element([[0, 0], [0.1, 0]])
    assert chamfer([a], [element([[1.0, 0], [1.1, 0]])])[0, 0] == np.inf
    assert chamfer([a], [element([[0, 1.0], [0.1, 1.0]])])[0, 0] == pytest.approx(1.0)


def test_a_ring_is_closed_before_it_is_sampled():
    ring, line = box(0, 0, 4, 4), element([[0, 0], [4, 0], [4, 4], [0, 4]], name="ped_crossing")
    assert chamfer([ring], [ring])[0, 0] == pytest.approx(0.0)
    assert chamfer([ring], [line])[0, 0] > 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-3, 3), st.floats(-1e3, 1e3), st.booleans())
def test_distances_do_not_depend_on_the_frame(seed, turn, shift, closed):
    generator = np.random.default_rng(seed)
    predicted, true = (random_elements(generator, 3, closed=closed) for _ in range(2))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def moved(elements):
        return [element(e.vertices @ rotation.T + [shift, -shift], closed=closed) for e in elements]

    here, there = chamfer(predicted, true), chamfer(moved(predicted), moved(true))
    near = np.isfinite(here) & np.isfinite(there)
    assert here[near] == pytest.approx(there[near], abs=1e-6)
    # A pair exactly at the widest threshold may fall on either side of it.
    assert np.all(
        np.abs(np.where(np.isfinite(here), here, there)[np.isfinite(here) != np.isfinite(there)] - 1.5) < 1e-6
    )


def test_empty_sides_give_empty_matrices():
    assert chamfer([], [element([[0, 0], [1, 0]])]).shape == (0, 1)
    assert chamfer([], []).shape == (0, 0)
