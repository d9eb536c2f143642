"""The average of weights follows its formula, and counters are copied."""

from __future__ import annotations

import copy

import pytest
import torch

from training.engine.ema import update_average


def test_it_is_the_written_out_sum() -> None:
    net = torch.nn.BatchNorm1d(1)
    average = copy.deepcopy(net)
    expected = net.weight.item()
    for step in range(1, 60):
        with torch.no_grad():
            net.weight.fill_(float(step))
        net.num_batches_tracked.fill_(step)
        update_average(average, net, step, 0.8)
        keep = min(0.8, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
        assert average.weight.item() == pytest.approx(expected, rel=1e-5)
        assert int(average.num_batches_tracked) == step
    assert average.weight.grad_fn is None


def test_what_takes_no_gradient_is_passed_over() -> None:
    net = torch.nn.BatchNorm1d(1)
    average = copy.deepcopy(net)
    net.weight.requires_grad_(False)
    with torch.no_grad():
        average.weight.fill_(5.0)
        net.running_mean.fill_(1.0)
    update_average(average, net, 100, 0.75)
    assert average.weight.item() == 5.0
    assert average.running_mean.item() == 0.25
