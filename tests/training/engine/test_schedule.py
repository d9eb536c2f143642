"""The learning rate warms up, falls along a cosine, and every group gets its own share."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from toy_regression import CONFIG

from training.engine.schedule import adamw, rate_share, set_rate
from training.engine.task import Group


def test_warm_up_then_half_a_cosine() -> None:
    config = replace(CONFIG, steps=1000, warmup_steps=100)
    shares = [rate_share(step, config) for step in range(1001)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[49] == pytest.approx(0.5, rel=0.01)
    assert max(shares) == shares[99]
    assert shares[500] == pytest.approx(0.505)
    assert shares[1000] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(shares[99:]))
    assert rate_share(0, replace(config, warmup_steps=0)) == 1.0


def test_the_moments_forget_as_told() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = adamw([Group(parameters=[parameter])], replace(CONFIG, betas=(0.5, 0.75)))
    parameter.grad = torch.ones(1)
    optimizer.step()
    assert optimizer.state[parameter]["exp_avg"].item() == 0.5
    assert optimizer.state[parameter]["exp_avg_sq"].item() == 0.25


def test_groups_have_their_own_rate_and_decay() -> None:
    one, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    groups = [Group(parameters=[one], rate=0.1, decays=False), Group(parameters=[other])]
    optimizer = adamw(groups, replace(CONFIG, learning_rate=0.5, weight_decay=0.2))
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.025, 0.25]
    one.grad, other.grad = torch.zeros(2), torch.zeros(2)
    optimizer.step()
    assert one.tolist() == [1.0, 1.0]
    assert other.tolist() == pytest.approx([0.95, 0.95])
