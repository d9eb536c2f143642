"""Which prediction learns from which part of which label, where the mask says what is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from map_batches import AREAS, POINTS, labels_of, line, output_of, sure_of
from scipy.optimize import linear_sum_assignment

from training.match.config import MatchConfig
from training.match.cost import _nearest, by_cdist, class_costs
from training.match.match import match
from training.match.targets import targets_of

pytestmark = pytest.mark.slow  # kernels are compiled

ALL = np.ones((1, 100, 100), bool)
CONFIG = MatchConfig(least_piece_cells=2.0)


def half(columns=50):
    """Return a mask in which only the left columns are known."""
    known = ALL.copy()
    known[:, :, columns:] = False
    return known


def hole(start=40, stop=60):
    """Return a mask with unknown columns in the middle."""
    known = ALL.copy()
    known[:, :, start:stop] = False
    return known


def matches_of(predictions, elements, known, logits=None, config=CONFIG):
    """Return matches of one layer and one sample."""
    logits = sure_of(*[0] * len(predictions)) if logits is None else logits
    output = output_of(np.stack(predictions)[None, None], logits[None, None])
    return match(output, targets_of(labels_of(elements, known=known), AREAS, config), AREAS, config), output


def pairs(matches):
    return sorted(zip(matches.query.tolist(), matches.label.tolist(), matches.masked.tolist(), strict=True))


def test_where_everything_is_known_it_is_the_ordinary_assignment():
    random = np.random.default_rng(0)
    for _ in range(20):
        layers, queries, count = 2, 12, int(random.integers(0, 8))
        points = random.random((layers, 2, queries, POINTS, 2), dtype=np.float32)
        logits = random.normal(size=(layers, 2, queries, 4)).astype(np.float32)
        elements = []
        for _ in range(count):
            of_class = int(random.integers(4))
            elements.append((random.random((POINTS, 2), dtype=np.float32), of_class, of_class == 1))
        labels = labels_of(elements, elements[: count // 2], known=np.ones((2, 40, 40)))
        found = match(output_of(points, logits), targets_of(labels, AREAS, CONFIG), AREAS, CONFIG)
        for layer in range(layers):
            for b, one in enumerate((elements, elements[: count // 2])):
                cost = np.zeros((queries, len(one)))
                for g, (chain, of_class, ring) in enumerate(one):
                    orders = [np.roll(chain, s, axis=0) for s in range(POINTS if ring else 1)]
                    orders += [order[::-1] for order in orders]
                    distance = [np.abs(points[layer, b] - order).sum(axis=(1, 2)) for order in orders]
                    focal = class_costs(torch.from_numpy(logits[layer, b]))[:, of_class].numpy()
                    cost[:, g] = 5.0 * np.min(distance, axis=0) + 2.0 * focal
                i, j = linear_sum_assignment(cost)
                here = (found.layer == layer) & (found.sample == b)
                assert sorted(found.label[here].tolist()) == sorted(j.tolist())
                chosen = cost[found.query[here], found.label[here]].sum()
                assert chosen == pytest.approx(cost[i, j].sum(), rel=1e-5)
        assert not found.masked.any()
        distance = (found.chains(torch.from_numpy(points)) - found.target).abs().sum(dim=(1, 2))
        assert torch.all(found.fraction == 0)
        assert distance.max() < 100 if count else True


def test_what_is_left_of_a_prediction_fits_a_label_that_ends_at_the_edge():
    label = line((0.1, 0.5), (0.5, 0.5))
    long, short = line((0.1, 0.52), (0.9, 0.52)), line((0.1, 0.6), (0.4, 0.6))
    found, output = matches_of([long, short], [(label, 0, False)], half())
    assert pairs(found) == [(0, 0, True)]
    assert found.chains(output.points)[0] == pytest.approx(line((0.1, 0.52), (0.5, 0.52)), abs=1e-6)
    assert found.share[0, 0, 0, 0] == pytest.approx(0.5)
    # The ordinary assignment punishes the prediction for what the mask hides.
    assert pairs(matches_of([long, short], [(label, 0, False)], ALL)[0]) == [(1, 0, False)]


def test_a_piece_is_cut_at_the_very_edge_not_at_the_next_vertex():
    # Defect of earlier work: a segment with any unknown cell was dropped whole. Here every segment has one.
    columns = np.arange(100) % 10 < 6
    known = np.broadcast_to(columns, (1, 100, 100)).copy()
    prediction, config = line((0.0, 0.5), (1.0, 0.5)), replace(CONFIG, speck_cells=0)
    found, _ = matches_of([prediction], [], known, config=config)
    assert found.share[0, 0, 0, 0] == pytest.approx(0.6)
    left = half(30)
    found, output = matches_of([prediction], [(line((0.0, 0.5), (0.3, 0.5)), 0, False)], left)
    assert found.chains(output.points)[0, -1].tolist() == pytest.approx([0.3, 0.5])


def test_without_labels_what_lies_outside_of_the_mask_is_no_background():
    # Defect 1 of earlier work: without labels all predictions were background.
    inside, outside, across = (line((a, 0.5), (b, 0.5)) for a, b in ((0.1, 0.4), (0.6, 0.9), (0.3, 0.7)))
    found, _ = matches_of([inside, outside, across], [], half())
    assert pairs(found) == []
    assert found.share[0, 0, :, 0].tolist() == pytest.approx([1.0, 0.0, 0.5], abs=1e-6)


def test_a_prediction_over_a_hole_takes_the_labels_on_both_sides():
    left, right = line((0.1, 0.5), (0.4, 0.5)), line((0.6, 0.5), (0.9, 0.5))
    over = line((0.1, 0.5), (0.9, 0.5))
    elements = [(left, 0, False), (right, 0, False)]
    away = line((0.1, 0.9), (0.9, 0.9))
    found, output = matches_of([away, over], elements, hole())
    assert pairs(found) == [(1, 0, True), (1, 1, True)]
    assert torch.allclose(found.chains(output.points), found.target, atol=1e-6)
    assert found.matched()[0, 0].tolist() == [-1, 0]


def test_a_prediction_takes_no_label_beside_its_subset():
    # Defect 2 of earlier work: nothing forbade a subset and another label.
    left, right = line((0.1, 0.5), (0.4, 0.5)), line((0.6, 0.5), (0.9, 0.5))
    third = line((0.1, 0.52), (0.9, 0.52))
    elements = [(left, 0, False), (right, 0, False), (third, 2, False)]
    found, _ = matches_of([line((0.1, 0.5), (0.9, 0.5)), line((0.2, 0.9), (0.7, 0.9))], elements, hole())
    takers = {label: query for query, label, _ in pairs(found)}
    assert len(found.label) >= 3
    for query in (0, 1):
        of_query = found.query == query
        assert of_query.sum() <= 1 or len(set(found.classes[of_query].tolist())) == 1
    assert set(takers) == {0, 1, 2}


def test_subsets_have_one_class_and_the_prediction_gets_it():
    # Defect 4 of earlier work: the class came from a label that was not assigned.
    left, right = line((0.1, 0.5), (0.4, 0.5)), line((0.6, 0.5), (0.9, 0.5))
    other = line((0.1, 0.2), (0.3, 0.2))
    elements = [(other, 2, False), (left, 3, False), (right, 3, False)]
    found, _ = matches_of([line((0.1, 0.5), (0.9, 0.5)), line((0.1, 0.2), (0.3, 0.2))], elements, hole(), sure_of(3, 2))
    assert pairs(found) == [(0, 1, True), (0, 2, True), (1, 0, False)]
    assert found.matched()[0, 0].tolist() == [3, 2]
    mixed = [(left, 0, False), (right, 3, False)]
    found, _ = matches_of([line((0.1, 0.5), (0.9, 0.5)), line((0.6, 0.6), (0.9, 0.6))], mixed, hole())
    assert len(set(found.query.tolist())) == 2


def test_a_label_that_runs_through_unknown_cells_is_cut():
    long = line((0.1, 0.5), (0.9, 0.5))
    found, _ = matches_of([long], [(long, 0, False)], hole())
    assert pairs(found) == [(0, 0, True), (0, 0, True)]
    assert found.target[..., 0].flatten().tolist() == pytest.approx(
        [*np.linspace(0.1, 0.4, POINTS), *np.linspace(0.6, 0.9, POINTS)], abs=1e-6
    )
    nothing, _ = matches_of([long], [(line((0.6, 0.5), (0.9, 0.5)), 0, False)], half())
    assert pairs(nothing) == []


def test_a_polygon_at_the_edge_is_compared_without_the_side_along_it():
    whole = line((0.3, 0.4), (0.7, 0.4), (0.7, 0.6), (0.3, 0.6), closed=True)
    left_part = line((0.3, 0.4), (0.5, 0.4), (0.5, 0.6), (0.3, 0.6), closed=True)
    away = line((0.1, 0.1), (0.2, 0.1), (0.2, 0.2), (0.1, 0.2), closed=True)
    found, output = matches_of([away, whole], [(left_part, 1, True)], half(51), sure_of(1, 1))
    assert pairs(found) == [(1, 0, True)]
    chain = found.chains(output.points)[0]
    assert chain[[0, -1], 0].tolist() == pytest.approx([0.51, 0.51], abs=1e-6)
    assert (chain - found.target[0]).abs().max() < 0.045  # the target ends before the cells at the edge
    # A prediction that is known throughout is compared with the whole ring.
    found, output = matches_of(
        [away, np.roll(left_part, 7, axis=0)[::-1]], [(left_part, 1, True)], half(51), sure_of(1, 1)
    )
    assert pairs(found) == [(1, 0, False)]
    assert found.closed.tolist() == [True]
    assert torch.allclose(found.chains(output.points), found.target, atol=1e-6)


def test_a_ring_that_the_mask_cuts_becomes_open_chains():
    whole = line((0.3, 0.4), (0.7, 0.4), (0.7, 0.6), (0.3, 0.6), closed=True)
    found, output = matches_of([whole], [(whole, 1, True)], hole(45, 55), sure_of(1))
    assert pairs(found) == [(0, 0, True), (0, 0, True)]
    assert not found.closed.any()
    assert torch.allclose(found.chains(output.points), found.target, atol=1e-5)


def test_layers_and_samples_do_not_mix_and_threads_change_nothing():
    random = np.random.default_rng(3)
    points = random.random((3, 2, 8, POINTS, 2), dtype=np.float32)
    logits = random.normal(size=(3, 2, 8, 4)).astype(np.float32)
    samples = [[(line(*random.random((3, 2))), int(random.integers(4)), False) for _ in range(n)] for n in (4, 2)]
    known = np.concatenate([hole(), half()])
    labels = labels_of(*samples, known=known)
    targets = targets_of(labels, AREAS, CONFIG)
    together = match(output_of(points, logits), targets, AREAS, CONFIG, threads=2)
    for layer in range(3):
        for b in range(2):
            alone = match(
                output_of(points[layer : layer + 1, b : b + 1], logits[layer : layer + 1, b : b + 1]),
                targets[b : b + 1], AREAS, CONFIG,
            )  # fmt: skip
            here = (together.layer == layer) & (together.sample == b)
            for name in ("query", "label", "masked", "index", "fraction", "target"):
                assert torch.equal(getattr(together, name)[here], getattr(alone, name))


def test_the_one_to_many_branch_repeats_labels():
    labels = labels_of([(line((0.1, 0.5), (0.4, 0.5)), 0, False)], known=ALL)
    points = np.stack([line((0.1, y), (0.4, y)) for y in (0.3, 0.5, 0.52, 0.9)])[None, None]
    targets = [one.repeated(3) for one in targets_of(labels, AREAS, CONFIG)]
    found = match(output_of(points, np.zeros((1, 1, 4, 4), np.float32)), targets, AREAS, CONFIG)
    assert sorted(found.query.tolist()) == [0, 1, 2]
    assert found.label.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_matched_all_the_same(value):
    """Their losses stop the run and name every term; a search among such costs once did not end."""
    label = line((0.2, 0.2), (0.8, 0.8))
    broken = label.copy()
    broken[3] = value
    found, _ = matches_of([broken, label], [(label, 0, False)], half())
    assert found.query.tolist() == [1]
    logits = torch.full((2, 4), float(value))
    assert len(matches_of([label, label], [(label, 0, False)], half(), logits)[0].query) == 1


def test_the_nearest_order_is_that_of_cdist():
    random = np.random.default_rng(0)
    flat = torch.from_numpy(random.random((2, 9, 2 * POINTS), dtype=np.float32))
    orders = random.random((2, 4, 5, POINTS, 2), dtype=np.float32)
    torch.testing.assert_close(_nearest(flat, orders), by_cdist(flat, orders))


def test_a_speck_does_not_cut_a_label_for_a_prediction_beside_it():
    known = ALL.copy()
    known[:, 48:52, 49:52] = False  # four rows, three columns: thinner than a square of five
    label, beside = line((0.1, 0.5), (0.9, 0.5)), line((0.1, 0.56), (0.9, 0.56))
    away = line((0.1, 0.95), (0.3, 0.95))
    found, _ = matches_of([away, beside], [(label, 0, False)], known)
    assert pairs(found) == [(1, 0, False)]
    assert torch.allclose(found.target[0], torch.from_numpy(label))
    known[:, 46:53, 47:54] = False
    found, _ = matches_of([away, label], [(label, 0, False)], known)
    assert pairs(found) == [(1, 0, True), (1, 0, True)]  # a hole does


def test_a_label_too_little_of_which_is_known_leaves_its_ground_open():
    known = ALL.copy()
    known[:, :, 14:] = False
    label, config = line((0.1, 0.5), (0.6, 0.5)), MatchConfig(least_piece_cells=5.0)
    found, _ = matches_of([label, line((0.02, 0.1), (0.12, 0.1))], [(label, 0, False)], known, config=config)
    assert pairs(found) == []
    assert float(found.share[0, 0, 0, 0]) == 0.0  # it may well be right, and is not punished
    assert float(found.share[0, 0, 1, 0]) == 1.0


def test_pieces_of_a_prediction_do_not_take_copies_of_one_label():
    label = line((0.1, 0.5), (0.39, 0.5))
    targets = [one.repeated(3) for one in targets_of(labels_of([(label, 0, False)], known=hole()), AREAS, CONFIG)]
    points = np.stack([line((0.1, y), (0.9, y)) for y in (0.5, 0.51, 0.52, 0.53)])[None, None]
    found = match(output_of(points, np.zeros((1, 1, 4, 4), np.float32)), targets, AREAS, CONFIG)
    assert sorted(found.query.tolist()) == [0, 1, 2]
