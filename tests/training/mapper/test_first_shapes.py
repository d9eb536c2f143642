"""Instances begin as middles of clusters of the labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small_mapper
import torch

from training.mapper.first_shapes import first_shapes
from training.model.config import ModelConfig
from training.model.decoder.queries import Queries
from vectorize.labels.class_ids import CLASS_TYPE

MODEL = replace(small_mapper.MODEL, instances=6, instances_many=9)
LEFT, RIGHT = 5.0, -5.0  # y of the ego frame


class _Pool:
    """Samples with lines along the road at some y, and stop lines across it at some x."""

    def __init__(self, lines: list[list[float]], stops: list[list[float]]) -> None:
        self.records = [
            {"classes": CLASS_TYPE, "vectors": [*map(_line, along), *map(_stop, across)]}
            for along, across in zip(lines, stops, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.records)

    def record(self, number: int) -> dict[str, Any]:
        return self.records[number]


def _vector(name: str, points: list[list[float]]) -> dict[str, Any]:
    return {"cls_name": name, "pts": points, "closed": False, "seen": [1.0, 1.0], "confidence": [1.0, 1.0]}


def _line(y: float) -> dict[str, Any]:
    ends = [[-20.0, y], [20.0, y]]
    return _vector("divider", ends if y > 0 else ends[::-1])  # labels run either way


def _stop(x: float) -> dict[str, Any]:
    return _vector("stop_line", [[x, 2.0], [x, -2.0]])


def _ego(shapes: Any, model: ModelConfig) -> Any:
    return np.stack([model.patch.to_ego(shape.astype(np.float64)) for shape in shapes])


def _shapes(lines: list[list[float]], stops: list[list[float]], *, mirrored: bool = False) -> Any:
    pool: Any = _Pool(lines, stops)
    return first_shapes([pool], MODEL, mirrored=mirrored)


def test_clusters_lie_where_labels_do() -> None:
    offsets = np.random.default_rng(0).normal(0.0, 0.2, 40)
    found = _ego(_shapes([[LEFT + o, RIGHT - o] for o in offsets], [[8.0 + o] for o in offsets]), MODEL)
    assert found.shape == (15, MODEL.points, 2)
    along = np.ptp(found[..., 0], axis=1) > 20.0  # a mean of lines that run both ways would be a point
    for branch in (along[:6], along[6:]):  # the rarer class has its share in both
        assert branch.any()
        assert not branch.all()
    assert np.abs(np.abs(found[along][..., 1]) - 5.0).max() < 0.6
    assert np.abs(found[~along][..., 0] - 8.0).max() < 0.6


def test_mirrored_labels_count_too() -> None:
    plain = _ego(_shapes([[LEFT]] * 3, [[]] * 3), MODEL)
    both = _ego(_shapes([[LEFT]] * 3, [[]] * 3, mirrored=True), MODEL)
    assert np.allclose(plain[..., 1], LEFT, atol=1e-4)
    assert set(both[:6, 0, 1].round(3).tolist()) == {LEFT, RIGHT}


def test_the_same_labels_give_the_same_shapes() -> None:
    lines = [[float(y)] for y in np.random.default_rng(1).uniform(1.0, 14.0, 50)]
    one, other = (_shapes(lines, [[]] * 50) for _ in range(2))
    assert np.array_equal(one, other)


def test_fewer_labels_than_instances_come_more_than_once() -> None:
    found = _ego(_shapes([[LEFT]], [[]]), MODEL)
    assert len(found) == 15
    assert np.allclose(found[..., 1], LEFT, atol=1e-4)


def test_without_labels_there_are_no_shapes() -> None:
    assert _shapes([[]], [[]]).shape == (0, MODEL.points, 2)


def test_queries_begin_at_shapes_inside_the_patch() -> None:
    queries = Queries(MODEL)
    shapes = torch.rand(15, MODEL.points, 2)
    shapes[0, 0] = torch.tensor([0.0, 1.0])
    queries.start_at(shapes)
    _, _, first = queries(2, many=True)
    assert bool(torch.isfinite(first).all())
    torch.testing.assert_close(first.sigmoid()[1], shapes.clamp(0.01, 0.99))
    _, _, first = queries(2, many=False)
    assert first.shape == (2, 6, MODEL.points, 2)


@pytest.mark.parametrize("seed", range(3))
def test_untaught_queries_are_lines_of_their_own(seed: int) -> None:
    torch.manual_seed(seed)
    _, _, first = Queries(MODEL)(1, many=True)
    assert len(torch.unique(first[0, :, 0], dim=0)) == 15
