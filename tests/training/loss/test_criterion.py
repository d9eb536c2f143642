"""The terms of the loss: what they punish, and that nothing outside the mask has a gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from map_batches import CLASSES, POINTS, labels_of, line, output_of, sure_of

from training.loss.config import LossConfig
from training.loss.criterion import Criterion
from training.match.config import MatchConfig
from training.model.config import ModelConfig

pytestmark = pytest.mark.slow  # kernels are compiled

MODEL = ModelConfig(classes=CLASSES, depth_m=(1.0, 9.0, 1.0))
CONFIG = LossConfig(match=MatchConfig(least_piece_cells=2.0))
LEFT = np.ones((1, 100, 100), bool)
LEFT[:, :, 50:] = False
ALL = np.ones((1, 100, 100), bool)


def output_with_gradients(predictions, logits, **more):
    points = torch.from_numpy(np.stack(predictions)[None, None]).requires_grad_()
    return output_of(points, torch.from_numpy(logits[None, None]).requires_grad_(), **more)


def gradients(output, labels, config=CONFIG):
    """Return the terms, and the gradients of points (Q, P, 2) and logits (Q, C)."""
    terms = Criterion(config, MODEL)(output, labels)
    sum(terms.values()).backward()
    return terms, output.points.grad[0, 0], output.logits.grad[0, 0]


def test_a_perfect_prediction_costs_nothing_but_its_doubt():
    chain, ring = line((0.1, 0.5), (0.4, 0.2)), line((0.6, 0.6), (0.8, 0.6), (0.8, 0.9), closed=True)
    labels = labels_of([(chain, 0, False), (ring, 1, True)], known=ALL)
    output = output_with_gradients([chain[::-1].copy(), np.roll(ring, 3, axis=0)], sure_of(0, 1, sureness=20.0))
    terms, _, _ = gradients(output, labels)
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {"class": 0.0, "points": 0.0, "direction": 0.0}, abs=1e-4
    )


def test_predictions_outside_the_mask_have_no_gradient_and_those_across_it_by_their_share():
    inside, outside, across = (line((a, 0.5), (b, 0.5)) for a, b in ((0.1, 0.4), (0.6, 0.9), (0.3, 0.7)))
    for elements in ([], [(line((0.1, 0.5), (0.4, 0.5)), 0, False)]):
        output = output_with_gradients([inside, inside + 0.01, outside, across], np.zeros((4, 4), np.float32))
        _, of_points, of_logits = gradients(output, labels_of(elements, known=LEFT))
        assert torch.all(of_logits[2] == 0)
        assert torch.all(of_points[2:] == 0)
        assert of_logits[3] == pytest.approx(0.5 * of_logits[1].numpy(), rel=1e-4)
        unaware = output_with_gradients([inside, inside + 0.01, outside, across], np.zeros((4, 4), np.float32))
        _, _, of_logits = gradients(unaware, labels_of(elements, known=LEFT), replace(CONFIG, mask_aware=False))
        assert of_logits[2] == pytest.approx(of_logits[1].numpy())


def test_points_beyond_the_edge_of_the_mask_have_no_gradient():
    label = (line((0.1, 0.5), (0.5, 0.5)), 0, False)
    output = output_with_gradients([line((0.1, 0.53), (0.9, 0.57))], sure_of(0))
    terms, of_points, _ = gradients(output, labels_of([label], known=LEFT))
    beyond = int((output.points[0, 0, 0, :, 0] < 0.5).sum()) + 1  # the edge is cut between two points
    assert terms["points"] > 0
    assert torch.all(of_points[0, beyond:] == 0)
    assert torch.all(of_points[0, :beyond, 1] != 0)


@pytest.mark.parametrize("many", [False, True], ids=["one_to_one", "one_to_many"])
@pytest.mark.parametrize("term", ["class", "points", "direction", "raster"])
def test_no_term_of_either_branch_has_a_gradient_beyond_the_mask(term, many):
    label = (line((0.1, 0.5), (0.5, 0.5)), 0, False)
    inside, outside = line((0.1, 0.53), (0.4, 0.5)), line((0.6, 0.5), (0.9, 0.3))
    across = line((0.1, 0.56), (0.9, 0.7))  # matched with what is left of it where there is no better one
    config = replace(CONFIG, raster_weight=15.0, raster_px=(64, 64))
    for found in ([inside, outside], [across, outside]):
        predictions = [outside, *found] if many else found
        output = output_with_gradients(predictions, sure_of(*[0] * len(predictions)), one2one=1 if many else None)
        terms = Criterion(config, replace(MODEL, repeats=1))(output, labels_of([label], known=LEFT))
        terms[f"many_{term}" if many else term].backward()
        points, logits = (
            torch.zeros_like(part[0, 0]) if part.grad is None else part.grad[0, 0]
            for part in (output.points, output.logits)
        )
        # The edge is cut between two points, and a soft line is wide.
        reach = 0.8 / (POINTS - 1) + (6 / 64 if term == "raster" else 0.0)
        beyond = output.points[0, 0, :, :, 0] > 0.5 + reach
        assert torch.all(points[beyond] == 0)
        assert torch.all(logits[-1] == 0)
        assert torch.any((logits if term == "class" else points)[-2] != 0)


def test_what_labels_say_outside_the_mask_changes_nothing():
    seen = (line((0.1, 0.5), (0.4, 0.5)), 0, False)
    hidden = (line((0.6, 0.1), (0.9, 0.9)), 2, False)
    predictions, logits = [line((0.1, 0.53), (0.4, 0.5)), line((0.6, 0.2), (0.9, 0.9))], sure_of(0, -1)
    terms = [
        Criterion(CONFIG, MODEL)(output_with_gradients(predictions, logits), labels_of(elements, known=LEFT))
        for elements in ([seen], [seen, hidden])
    ]
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in terms[0])


def test_auxiliary_terms_have_no_gradient_where_nothing_is_known():
    labels = labels_of([], known=LEFT)
    labels = replace(
        labels,
        bev=torch.ones_like(labels.bev),
        views=torch.tensor([[0, 1, 255, 255]], dtype=torch.uint8).expand(1, 2, 3, 2, 4).contiguous(),
        depth=torch.tensor([[0.0, 0.5, 1.5, 8.9], [9.5, 3.0, 0.0, 2.0]]).expand(1, 2, 2, 4).contiguous(),
    )
    heads = {
        "bev_logits": torch.zeros(1, 4, 20, 20, requires_grad=True),
        "view_logits": torch.zeros(1, 2, 3, 2, 4, requires_grad=True),
        "depth_logits": torch.zeros(1, 2, 8, 2, 4, requires_grad=True),
    }
    output = output_with_gradients([line((0.6, 0.5), (0.9, 0.5))], sure_of(0), **heads)
    terms, _, _ = gradients(output, labels)
    bev, views, depth = (one.grad for one in heads.values())
    assert torch.all(bev[..., 10:] == 0)
    assert torch.all(bev[..., :10] < 0)
    assert torch.all((views[0, 0, 0] != 0) == torch.tensor([True, True, False, False]))
    measured = torch.tensor([[False, False, True, True], [False, True, False, True]])
    assert torch.equal(depth[0, 0].abs().sum(dim=0) > 0, measured)
    assert float(terms["bev"].detach()) == pytest.approx(4.0 * np.log(2.0), rel=1e-5)
    assert float(terms["views"].detach()) == pytest.approx(2.0 * np.log(2.0), rel=1e-5)
    assert float(terms["depth"].detach()) == pytest.approx(3.0 * np.log(8.0), rel=1e-5)
    absent = Criterion(CONFIG, MODEL)(output, replace(labels, views=None, depth=None))
    assert list(absent) == list(terms)
    assert float(absent["views"].detach()) == float(absent["depth"].detach()) == 0.0
    assert depth[0, 0, :, 0, 2].argmin() == 0
    assert depth[0, 0, :, 0, 3].argmin() == 7


def scene(random, mirrored=False, order=None, reverse=False):
    """Return labels and an output of random shapes, the same ones mirrored, reordered or reversed."""

    def shape(chain):
        return chain * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32) if mirrored else chain

    elements = [(line(*random.random((3, 2))), int(of_class), False) for of_class in (0, 2, 3, 0)]
    elements.append((line(*(0.3 + 0.4 * random.random((4, 2))), closed=True), 1, True))
    predictions = np.stack([line(*random.random((3, 2))) for _ in range(12)])
    logits = random.normal(size=(12, 4)).astype(np.float32)
    known = random.random((1, 5, 5)).repeat(20, axis=1).repeat(20, axis=2) < 0.7
    elements = [(shape(chain), *rest) for chain, *rest in elements]
    elements = [(chain[::-1].copy(), *rest) for chain, *rest in elements] if reverse else elements
    elements = elements if order is None else [elements[i] for i in order]
    known = known[:, :, ::-1].copy() if mirrored else known
    return labels_of(elements, known=known), output_with_gradients(shape(predictions), logits)


@pytest.mark.parametrize("change", [{"mirrored": True}, {"order": (4, 2, 0, 1, 3)}, {"reverse": True}], ids=str)
def test_mirrored_reordered_or_reversed_labels_cost_the_same(change):
    # A search that is cut short may end elsewhere when rounding differs; an optimum has one cost.
    config = replace(CONFIG, match=replace(CONFIG.match, most_steps=100_000))
    for seed in range(20):
        sums = []
        for given in ({}, change):
            labels, output = scene(np.random.default_rng(seed), **given)
            terms = Criterion(config, MODEL)(output, labels)
            sums.append({name: float(term.detach()) for name, term in terms.items()})
        assert sums[1] == pytest.approx(sums[0], rel=1e-4)


def test_the_raster_term_has_no_gradient_outside_the_mask_and_joins_the_targets_of_pieces():
    config = replace(CONFIG, raster_weight=15.0, points_weight=0.0, direction_weight=0.0, raster_px=(64, 64))
    hole = ALL.copy()
    hole[:, :, 40:60] = False
    over = line((0.1, 0.5), (0.9, 0.5))
    elements = [(line((0.1, 0.5), (0.4, 0.5)), 0, False), (line((0.6, 0.5), (0.9, 0.5)), 0, False)]
    output = output_with_gradients([over], sure_of(0))
    terms, _, _ = gradients(output, labels_of(elements, known=hole), config)
    assert float(terms["raster"].detach()) < 0.02 * 15
    bent = over.copy()
    bent[8:12, 1] += 0.3  # nobody knows what is there
    output = output_with_gradients([bent], sure_of(0))
    terms, of_points, _ = gradients(output, labels_of(elements, known=hole), config)
    assert torch.all(of_points[0, 9:11] == 0)
    assert torch.any(of_points[0, :8] != 0)
    ring = line((0.1, 0.1), (0.4, 0.1), (0.4, 0.4), (0.1, 0.4), closed=True)
    for shift, expected in ((0.0, 0.0), (0.15, 0.45)):  # half of its area, and outlines are soft
        output = output_with_gradients([ring + np.float32([shift, 0.0])], sure_of(1))
        terms, _, _ = gradients(output, labels_of([(ring, 1, True)], known=ALL), config)
        assert float(terms["raster"].detach()) / 15 == pytest.approx(expected, abs=0.06)


def test_workers_divide_by_what_all_of_them_have():
    chain = line((0.1, 0.5), (0.4, 0.2))
    samples = [[(chain, 0, False)], [(chain, 0, False), (chain + 0.3, 2, False)]]
    points = np.stack([np.stack([chain + 0.1, chain + 0.2, chain])] * 2)[None]
    logits = np.zeros((1, 2, 3, 4), np.float32)
    both = Criterion(CONFIG, MODEL)(output_of(points, logits), labels_of(*samples, known=ALL.repeat(2, axis=0)))
    counts = []
    alone = [(output_of(points[:, b : b + 1], logits[:, b : b + 1]), labels_of(samples[b], known=ALL)) for b in (0, 1)]
    for output, labels in alone:
        Criterion(CONFIG, MODEL)(output, labels, mean=lambda count: counts.append(count) or count)
    mean = torch.stack(counts).mean(dim=0)
    parts = [Criterion(CONFIG, MODEL)(*one, mean=lambda _: mean) for one in alone]
    for name, term in both.items():
        assert float(term) == pytest.approx(float(parts[0][name] + parts[1][name]) / 2, rel=1e-5)


def test_samples_and_points_are_weighted():
    chain = line((0.1, 0.5), (0.4, 0.2))
    output = output_of(np.stack([chain + 0.1])[None, None], np.zeros((1, 1, 1, 4), np.float32))
    one, half = (labels_of([(chain, 0, False)], known=ALL, weight=[w]) for w in (1.0, 0.5))
    whole, halved = (Criterion(CONFIG, MODEL)(output, labels) for labels in (one, half))
    assert all(float(halved[name]) == pytest.approx(0.5 * float(whole[name])) for name in whole)
    doubtful = replace(one, confidence=torch.full((1, 1, POINTS), 0.25), seen=torch.zeros(1, 1, POINTS))
    assert Criterion(CONFIG, MODEL)(output, doubtful)["points"] == whole["points"]
    trusting = Criterion(replace(CONFIG, use_confidence=True), MODEL)(output, doubtful)
    assert float(trusting["points"]) == pytest.approx(0.25 * float(whole["points"]))
    assert float(Criterion(replace(CONFIG, use_seen=True), MODEL)(output, doubtful)["points"]) == 0.0


def test_the_one_to_many_branch_has_terms_of_its_own():
    chain = line((0.1, 0.5), (0.4, 0.2))
    labels = labels_of([(chain, 0, False)], known=ALL)
    points = np.stack([chain] + [chain + 0.01 * n for n in range(9)])[None, None]
    output = output_of(points, np.zeros((1, 1, 10, 4), np.float32), one2one=1)
    terms = Criterion(CONFIG, MODEL)(output, labels)
    assert list(terms) == ["class", "points", "direction", "many_class", "many_points", "many_direction"]
    assert float(terms["points"]) == 0.0
    assert float(terms["many_points"]) == pytest.approx(5.0 * 40 * 0.01 * np.mean(range(6)), rel=1e-4)


def test_half_precision_outputs_give_terms_in_float32():
    labels, output = scene(np.random.default_rng(0))
    rounded = replace(output, points=output.points.bfloat16(), logits=output.logits.bfloat16())
    assert all(term.dtype == torch.float32 for term in Criterion(CONFIG, MODEL)(rounded, labels).values())
