from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorize.evaluate.metrics.matching import area_under_envelope, best_match, mean_of_101, nearest_match

RIGHT = np.array([True, False, True])
SCORES = np.array([0.9, 0.8, 0.7])


def slow_area(right, scores, true):
    """Sum rectangles under the best precision at this recall or any higher one."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points, found = [], 0
    for rank, i in enumerate(order, start=1):
        found += bool(right[i])
        points.append((found / true, found / rank))
    total, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        total += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return total


def slow_101(right, scores, true):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    points, found = [], 0
    for rank, i in enumerate(order, start=1):
        found += bool(right[i])
        points.append((found / true, found / rank))
    # The recalls are numpy's: 0.07 in decimals is another float than 7 / 100 in steps of 1 / 100.
    return sum(max((p for r, p in points if r >= recall), default=0.0) for recall in np.linspace(0, 1, 101)) / 101


def slow_nearest(distance, scores, threshold):
    match, taken = [-1] * len(scores), set()
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        nearest = min(range(len(distance[i])), key=lambda j: distance[i][j], default=None)
        if nearest is not None and distance[i][nearest] <= threshold and nearest not in taken:
            taken.add(nearest)
            match[i] = nearest
    return match


def test_average_precision_by_hand():
    # Two true lines: recall 0.5 at precision 1, recall 1 at precision 2/3.
    assert area_under_envelope(RIGHT, SCORES, 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert mean_of_101(RIGHT, SCORES, 2) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    # Three true lines: the last third of recall is never reached.
    assert area_under_envelope(RIGHT, SCORES, 3) == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert area_under_envelope(RIGHT[:0], SCORES[:0], 3) == 0.0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=12, unique_by=lambda t: t[1]), st.integers(1, 6)
)
def test_average_precision_matches_the_slow_sum(predictions, spare):
    right = np.array([r for r, _ in predictions], dtype=bool)
    scores = np.array([s / 1000 for _, s in predictions])
    true = int(right.sum()) + spare
    assert area_under_envelope(right, scores, true) == pytest.approx(slow_area(right, scores, true))
    assert mean_of_101(right, scores, true) == pytest.approx(slow_101(right, scores, true))


def test_a_prediction_has_no_second_choice():
    # Both lie nearest to line 0; the second could have had line 1 within the threshold, but does not look.
    distance = np.array([[0.1, 0.9], [0.2, 0.4]])
    assert nearest_match(distance, np.array([0.9, 0.8]), 0.5).tolist() == [0, -1]
    # The better score chooses first.
    assert nearest_match(distance, np.array([0.8, 0.9]), 0.5).tolist() == [-1, 0]
    # The threshold itself still counts, as in MapTR.
    assert nearest_match(np.array([[0.5]]), np.ones(1), 0.5).tolist() == [0]


def test_in_coco_a_prediction_takes_the_next_best():
    iou = np.array([[0.9, 0.1], [0.8, 0.6]])
    assert best_match(iou, np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert best_match(iou, np.array([0.9, 0.8]), 0.7).tolist() == [0, -1]
    assert best_match(iou, np.array([0.9, 0.8]), 0.5, most=1).tolist() == [0, -2]
    assert best_match(np.array([[0.5, 0.5]]), np.ones(1), 0.5).tolist() == [1]


@given(st.integers(0, 6), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_nearest_match_is_the_slow_loop(predicted, true, seed):
    generator = np.random.default_rng(seed)
    distance = generator.uniform(0, 2, (predicted, true))
    scores = generator.integers(0, 4, predicted) / 4  # ties happen: constant scores are common
    assert nearest_match(distance, scores, 1.0).tolist() == slow_nearest(distance.tolist(), scores.tolist(), 1.0)


def test_masked_pairs_cannot_change_the_match():
    distance = np.array([[0.3, np.inf], [np.inf, np.inf]])
    assert nearest_match(distance, np.ones(2), 0.5).tolist() == [0, -1]
