"""The decoder refines points layer by layer, and gradients stay within their layer."""

from __future__ import annotations

import torch
from random_views import small_config

from training.model.decoder.decoder import Decoder
from training.model.decoder.queries import PlaceEncoding


def test_a_layer_moves_the_points_of_the_one_before() -> None:
    torch.manual_seed(0)
    decoder, bev = Decoder(small_config(layers=3)).eval(), torch.randn(1, 16, 24, 16)
    with torch.no_grad():
        _, still, _ = decoder(bev, many=False)
        decoder.steps[1].layers[-1].bias.copy_(torch.tensor([0.3, -0.2]))
        _, moved, _ = decoder(bev, many=False)
    assert torch.equal(still[0], still[1])  # heads begin without a step
    torch.testing.assert_close(moved[0], still[0])
    step = torch.logit(moved[1]) - torch.logit(moved[0])
    torch.testing.assert_close(step, torch.tensor([0.3, -0.2]).expand_as(step), rtol=0.0, atol=1e-4)


def test_gradients_do_not_flow_through_the_points_of_the_layer_before() -> None:
    decoder = Decoder(small_config())
    _, points, _ = decoder(torch.randn(1, 16, 24, 16), many=False)
    points[1].sum().backward()
    before = [*decoder.steps[0].parameters(), decoder.queries.first]
    assert all(parameter.grad is None or not bool(parameter.grad.any()) for parameter in before)
    assert bool(decoder.steps[1].layers[-1].weight.grad.any())


def test_near_places_are_told_apart() -> None:
    torch.manual_seed(0)
    encoding = PlaceEncoding(16)
    with torch.no_grad():
        codes = encoding(torch.tensor([[0.5, 0.5], [0.501, 0.5], [0.9, 0.1]]))
    near, far = (codes[0] - codes[1]).norm(), (codes[0] - codes[2]).norm()
    assert 0.0 < float(near) < float(far)
