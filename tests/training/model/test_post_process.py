"""Decoding: the best scores over instances and classes, in metres of the ego frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from random_views import small_config

from training.model.map_output import MapOutput
from training.model.post_process import decode


def output_of(logits: torch.Tensor, points: torch.Tensor, one2one: int) -> MapOutput:
    empty = torch.zeros(1)
    return MapOutput(logits=logits, points=points, one2one=one2one, instances=empty[None, None], bev=empty)


def test_takes_the_best_over_instances_and_classes() -> None:
    config = small_config()
    logits = torch.full((1, 1, 3, 4), -9.0)
    logits[0, 0, 0, 2], logits[0, 0, 1, 1], logits[0, 0, 1, 0] = 1.0, 3.0, 2.0
    logits[0, 0, 2, 0] = 8.0  # of the one-to-many branch, which is not decoded
    points = torch.rand(1, 1, 3, 5, 2)
    (found,) = decode(output_of(logits, points, 2), config, most=3)
    assert [e.element_class for e in found] == ["ped_crossing", "divider", "boundary"]
    assert [e.score for e in found] == pytest.approx([0.9526, 0.8808, 0.7311], abs=1e-4)
    assert found[0].closed
    assert np.allclose(found[0].vertices, config.patch.to_ego(points[0, 0, 1].numpy().astype(np.float64)))
    assert np.array_equal(found[0].vertices, found[1].vertices)
    (strong,) = decode(output_of(logits, points, 2), config, least_score=0.8)
    assert len(strong) == 2


def test_a_line_whose_ends_are_neighbours_is_a_ring() -> None:
    config = small_config(classes=("boundary",))
    angles = torch.arange(12) * (2 * torch.pi / 12)
    circle = 0.5 + 0.2 * torch.stack([angles.cos(), angles.sin()], dim=-1)
    line = torch.stack([torch.linspace(0.1, 0.9, 12), torch.full((12,), 0.5)], dim=-1)
    points = torch.stack([circle, line])[None, None]
    (found,) = decode(output_of(torch.tensor([[[[1.0], [0.0]]]]), points, 2), config)
    assert [e.closed for e in found] == [True, False]
