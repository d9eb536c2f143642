"""Settings are checked, and those that make a run what it is are told from those that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from toy_regression import CONFIG

from recon.errors import ConfigInvalid
from training.segmenter.config import TrainConfig


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"batch": 300}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"ema": 1.0}, "ema"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (0.9,)}, "betas"),
        ({"accumulate": 0}, "accumulate"),
        ({"grad_clip": 0.0}, "grad_clip"),
        ({"save_every": 0}, "save_every"),
        ({"loader_threads": 0}, "loader_threads"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigInvalid, match=named):
        replace(CONFIG, **changes)
    with pytest.raises(ConfigInvalid, match=named):
        TrainConfig(**changes)


def test_a_run_may_be_longer_and_elsewhere_but_not_another() -> None:
    for free in ({"steps": 99}, {"device": "cuda"}, {"threads": 8}, {"validate_every": 3}, {"best": "error/mean"}):
        assert replace(CONFIG, **free).identity() == CONFIG.identity()
    for fixed in (
        {"seed": 3},
        {"batch": 8},
        {"accumulate": 2},
        {"betas": (0.9, 0.999)},
        {"precision": "bfloat16"},
        {"ema": 0.5},
    ):
        assert replace(CONFIG, **fixed).identity() != CONFIG.identity()
    assert TrainConfig(validate_images=3).identity() == TrainConfig().identity()
    assert TrainConfig().identity()["size_px"] == [512, 288]
