"""The shapes that the instances of a model begin as: the middles of clusters of its labels.

A query far from all labels first has to find one; beginning where labels often lie saves the first thousand steps. The
clusters are k-means over the points in metres, as Lloyd's algorithm finds them from k-means++ (Arthur and Vassilvitskii
2007). Each class gets a number of them in proportion to the root of its labels, so that rare ones are not forgotten.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2

from recon.arrays import F32, F64, Bool
from training.data.shard_pool import ShardPool
from training.data.targets import map_targets
from training.mapper.score import spread
from training.model.config import ModelConfig

MOST_SAMPLES = 1000  # spread over all: clusters do not gain from more
ROUNDS = 20  # of Lloyd's algorithm


def first_shapes(pools: Sequence[ShardPool], model: ModelConfig, *, mirrored: bool) -> F32:
    """Return shapes (instances of both branches, P, 2) in unit coordinates; none (0, P, 2) where there are no labels.

    With `mirrored` labels count as they are and with left and right exchanged. The same labels give the same shapes.
    """
    size_m = np.array([model.patch.width_m, model.patch.length_m])
    by_class = [one for one in _labels_by_class(pools, model, size_m, mirrored=mirrored) if len(one)]
    counts = model.instances, model.instances_many
    found = [_middles(by_class, count) for count in counts if count and by_class]
    whole = np.concatenate(found) if found else np.zeros((0, 2 * model.points))
    unit: F64 = whole.reshape(-1, model.points, 2) / size_m
    return unit.astype(np.float32)


def _labels_by_class(pools: Sequence[ShardPool], model: ModelConfig, size_m: F64, *, mirrored: bool) -> list[F64]:
    """Return the points (N, 2 P) of labels of each class in metres, in an order that makes like shapes near."""
    places = [(pool, number) for pool in pools for number in range(len(pool))]
    found: list[list[F64]] = [[] for _ in model.classes]
    for pool, number in (places[i] for i in spread(len(places), MOST_SAMPLES)):
        targets = map_targets(pool.record(number), model)
        for points, of_class, closed in zip(targets.points, targets.classes, targets.closed, strict=True):
            found[of_class].append(_ordered(points * size_m, closed))
            if mirrored:
                found[of_class].append(_ordered((points * [-1.0, 1.0] + [1.0, 0.0]) * size_m, closed))
    return [np.array(one).reshape(len(one), 2 * model.points) for one in found]


def _ordered(points: F64, closed: Bool) -> F64:
    """Return points (P, 2) in one of the equivalent orders: rings one way round, lines from left or front."""
    if closed:
        following = np.roll(points, -1, axis=0)
        area = np.sum(points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0])
        points = points if area >= 0 else points[::-1]
        return np.roll(points, -int(np.argmin(points.sum(axis=1))), axis=0)
    along = points[-1] - points[0]
    leading = along[np.argmax(np.abs(along))]
    return points if leading >= 0 else points[::-1]


def _middles(by_class: Sequence[F64], count: int) -> F64:
    """Return `count` shapes (count, 2 P): middles of clusters of each class."""
    roots = np.sqrt([len(one) for one in by_class])
    ends = np.round(np.cumsum(roots) / roots.sum() * count).astype(int)
    parts = [_clusters(one, k) for one, k in zip(by_class, np.diff(ends, prepend=0), strict=True)]
    return np.concatenate(parts)


def _clusters(shapes: F64, count: int) -> F64:
    """Return the middles of `count` clusters; where there are fewer different shapes, some come twice."""
    different = np.unique(shapes, axis=0)
    if count == 0 or len(different) <= count:
        return np.resize(different, (count, shapes.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster may lose all its shapes; its middle stays where it was
        middles, _ = kmeans2(shapes, count, iter=ROUNDS, minit="++", rng=np.random.default_rng(0))
    result: F64 = middles
    return result
