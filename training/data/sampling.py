"""Which sample comes when: example `place` of step `step` depends on these two and the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from recon.arrays import I64
from recon.errors import ArtifactInvalid, ConfigInvalid
from training.data.augment import augmented
from training.data.config import DataConfig, ModelShape
from training.data.example import Example, example_of
from training.data.place_split import fraction_of
from training.data.shard_pool import ShardPool, refuse_mixed

_TRIES = 20  # samples in a row that cannot be used: more means that the data are wrong


def open_pools(data: DataConfig, model: ModelShape, *, verify: bool = True, split: str = "train") -> list[ShardPool]:
    """Return the pools of the sources of a run.

    Raises ConfigInvalid without one or where they do not fit each other, and what `ShardPool.open` raises.
    """
    if not data.sources:
        raise ConfigInvalid("the run has no shards to train with", hint="Name folders of shards in data.sources.")
    pools = []
    for source in data.sources:
        pool = ShardPool.open(
            [Path(folder) for folder in source.folders],
            model,
            pictures=[Path(folder) for folder in source.pictures],
            verify=verify,
            share=source.share,
            weight=source.weight,
            split=split,
        )
        pools.append(fraction_of(pool, source.fraction, data.seed) if source.fraction < 1.0 else pool)
    refuse_mixed([one for pool in pools for one in pool.shards])
    return pools


class Examples:
    """The training examples of some pools, mixed by their shares."""

    def __init__(self, pools: Sequence[ShardPool], model: ModelShape, data: DataConfig, batch: int) -> None:
        """Mix `pools` into batches of `batch` examples."""
        self.pools, self.model, self.data, self.batch = tuple(pools), model, data, batch
        share = np.array([pool.share for pool in pools])
        self._ends = np.cumsum(share / share.sum())

    def make(self, step: int, place: int) -> Example:
        """Return one example. One that no camera sees is left out, counted by its pool, and replaced by the next.

        Raises ArtifactInvalid or ImageInvalid for a sample that is damaged.
        """
        draw = step * self.batch + place
        random = np.random.default_rng((self.data.seed, 1, draw))
        number = int(np.searchsorted(self._ends, _spread(draw, self.data.seed), side="right"))
        pool = self.pools[min(number, len(self.pools) - 1)]
        for attempt in range(_TRIES):
            sample = pool.read(self._choice(number, len(pool), draw, attempt))
            example = example_of(sample, self.model, cameras=self.data.cameras, weight=pool.weight)
            if example.views.present.any():
                return augmented(example, self.data.augment, random)
            pool.leave_out("no image of the cameras")
        hint = "Check data.cameras, and that the shards hold images."
        raise ArtifactInvalid(f"{_TRIES} samples in a row without an image", where=sample.key, hint=hint)

    def _choice(self, number: int, count: int, draw: int, attempt: int) -> int:
        """Return the sample of a draw: each pool is walked through in a new order every time."""
        # One pool: draw n is sample n of its walk. Several: as if each draw were of this pool, which keeps its order.
        walk, at = divmod(draw, count)
        return int(_order(self.data.seed, number, walk, count)[(at + attempt) % count])


@lru_cache(maxsize=8)
def _order(seed: int, pool: int, walk: int, count: int) -> I64:
    order: I64 = np.random.default_rng((seed, 3, pool, walk)).permutation(count)
    return order


def _spread(draw: int, seed: int) -> float:
    """Return a number in 0..1 such that any run of draws is spread evenly: the golden ratio's multiples.

    Source: the additive recurrence of Weyl; independent draws would leave a small source out of many batches.
    """
    start = np.random.default_rng((seed, 4)).random()
    return float((start + draw * 0.6180339887498949) % 1.0)
