"""The assignment is the best there is: compared with SciPy and with trying everything."""

import itertools
from functools import cache

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from training.match.assign_kernels import FORBIDDEN, assign, assign_mixed

pytestmark = pytest.mark.slow  # kernels are compiled

UNCOVERED = 1e4


def solve(whole, piece_cost, piece_count, areas, classes, most_steps=100_000):
    taker, piece = np.empty((2, len(whole)), np.int64)
    proven = assign_mixed(whole.T.copy(), piece_cost, piece_count, np.array(areas), classes, most_steps, taker, piece)
    return taker, piece, proven


def total(whole, piece_cost, piece_count, areas, classes, taker, piece):
    """Return the cost of an assignment, having checked that it is one."""
    cost, taken = 0.0, {}
    for t, (p, s) in enumerate(zip(taker, piece, strict=True)):
        cost += UNCOVERED if p < 0 else whole[t, p] if s < 0 else piece_cost[p, s, t]
        if p >= 0:
            taken.setdefault(p, []).append((t, s))
    for p, parts in taken.items():
        if parts[0][1] < 0:
            assert len(parts) == 1
        else:
            of_class = {classes[t] for t, _ in parts}
            assert len(of_class) == 1
            assert sorted(s for _, s in parts) == list(range(piece_count[p, areas[of_class.pop()]]))
    return cost


def best_of_all(whole, piece_cost, piece_count, areas, classes):
    """Return the least cost, having tried every whole and every subset for every prediction."""
    labels, predictions = whole.shape

    @cache
    def rest(p, left):
        if p == predictions:
            return UNCOVERED * len(left)
        best = rest(p + 1, left)
        for t in left:
            best = min(best, whole[t, p] + rest(p + 1, left - {t}))
        for form in (0, 1):
            for subset in itertools.permutations(left, int(piece_count[p, form])):
                if len(subset) >= 2 and len({classes[t] for t in subset}) == 1 and areas[classes[subset[0]]] == form:
                    cost = sum(piece_cost[p, s, t] for s, t in enumerate(subset))
                    best = min(best, cost + rest(p + 1, left - set(subset)))
        return best

    return rest(0, frozenset(range(labels)))


def test_labels_are_assigned_as_scipy_does():
    random = np.random.default_rng(0)
    for _ in range(1000):
        rows = random.integers(1, 12)
        cost = random.normal(size=(rows, rows + random.integers(0, 12))) * 10
        if random.random() < 0.3:
            cost = cost.round()  # ties
        columns, u, v = np.full(rows, -1), np.empty(rows), np.empty(cost.shape[1])
        value = assign(cost, rows, cost.shape[1], columns, u, v)
        i, j = linear_sum_assignment(cost)
        assert value == pytest.approx(cost[i, j].sum())
        assert len(set(columns)) == rows
        assert np.all(u[:, None] + v <= cost + 1e-9)
        assert np.all(v <= 1e-9)
        assert u.sum() + v.sum() == pytest.approx(value)


def test_no_assignment_of_subsets_is_better():
    random, areas, with_pieces = np.random.default_rng(1), (0, 1, 0), 0
    for _ in range(1000):
        labels, predictions = int(random.integers(0, 6)), int(random.integers(1, 6))
        whole = random.random((labels, predictions)) * 4
        piece_cost = random.random((predictions, 3, labels)) * random.choice([1, 2, 4])
        piece_cost[:, :, random.random(labels) < 0.2] = FORBIDDEN
        piece_count = random.integers(-1, 5, size=(predictions, 2))
        classes = random.integers(0, 3, size=labels) if random.random() < 0.5 else np.zeros(labels, np.int64)
        piece_count[piece_count == 4] = 1000
        taker, piece, proven = solve(whole, piece_cost, piece_count, areas, classes)
        piece_count[piece_count == 1000] = 0
        piece_count[piece_count < 0] = 0
        cost = total(whole, piece_cost, piece_count, areas, classes, taker, piece)
        assert proven
        assert cost == pytest.approx(best_of_all(whole, piece_cost, piece_count, areas, classes))
        with_pieces += bool((piece >= 0).any())
    assert with_pieces > 200


def test_a_prediction_takes_a_subset_or_one_label_but_never_both():
    # Alone it would be cheapest to give label 2 to the very prediction whose pieces fit labels 0 and 1.
    whole = np.array([[5.0, 9.0], [5.0, 9.0], [0.1, 3.0]])
    piece_cost = np.array([[[0.1, 9.0, 9.0], [9.0, 0.1, 9.0]], [[9.0] * 3, [9.0] * 3]])
    taker, piece, _ = solve(whole, piece_cost, np.array([[2, 0], [0, 0]]), (0,), np.zeros(3, np.int64))
    assert taker.tolist() == [0, 0, 1]
    assert piece.tolist() == [0, 1, -1]


def test_a_search_cut_short_is_never_worse_than_the_best_of_wholes():
    random = np.random.default_rng(2)
    for steps in (0, 1, 10):
        whole = random.random((20, 50)) * 4
        piece_cost, piece_count, classes = random.random((50, 4, 20)), np.full((50, 2), 4), np.zeros(20, np.int64)
        taker, piece, proven = solve(whole, piece_cost, piece_count, (0,), classes, most_steps=steps)
        i, j = linear_sum_assignment(whole)
        assert not proven
        assert total(whole, piece_cost, piece_count, (0,), classes, taker, piece) <= whole[i, j].sum() + 1e-9


def test_labels_that_exceed_the_predictions_stay_uncovered():
    taker, _, _ = solve(
        np.array([[1.0], [0.5]]), np.zeros((1, 2, 2)), np.zeros((1, 2), np.int64), (0,), np.zeros(2, np.int64)
    )
    assert taker.tolist() == [-1, 0]
