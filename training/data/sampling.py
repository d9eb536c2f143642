"""Which sample comes when: example `place` of step `step` depends on these two and the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
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
        shares = [Fraction(pool.share) for pool in pools]  # exact, however many draws there are
        self._shares = [share / sum(shares[number:]) for number, share in enumerate(shares)]

    def make(self, step: int, place: int) -> Example:
        """Return one example. One that no camera sees is left out, counted by its pool, and replaced by the next.

        Raises ArtifactInvalid or ImageInvalid for a sample that is damaged.
        """
        draw = step * self.batch + place
        random = np.random.default_rng((self.data.seed, 1, draw))
        number, at = self._dealt(step, place)
        pool = self.pools[number]
        for attempt in range(_TRIES):
            sample = pool.read(self._choice(number, len(pool), at, attempt))
            example = example_of(sample, self.model, cameras=self.data.cameras, weight=pool.weight)
            if example.views.present.any():
                return augmented(example, self.data.augment, random)
            pool.leave_out("no image of the cameras")
        hint = "Check data.cameras, and that the shards hold images."
        raise ArtifactInvalid(f"{_TRIES} samples in a row without an image", where=sample.key, hint=hint)

    def _dealt(self, step: int, place: int) -> tuple[int, int]:
        """Return the pool of an example, and how many draws before it were of this pool.

        The first pool takes draw n where floor(n share) grows by one, the next ones deal the others among themselves.
        So each pool is spread evenly over any run of draws, and a count is a floor: resuming asks for no history.
        Source: Beatty sequences.
        """
        # A step deals in an order of its own: a process that takes every second place shall not meet one pool alone.
        if len(self.pools) > 1:
            place = int(_places(self.data.seed, step, self.batch)[place])
        at = step * self.batch + place
        for number, share in enumerate(self._shares):
            before = int(at * share)
            if int((at + 1) * share) > before:
                return number, before
            at -= before
        raise AssertionError("the last pool takes what the others leave")

    def _choice(self, number: int, count: int, at: int, attempt: int) -> int:
        """Return the sample of draw `at` of a pool: each pool is walked through in a new order every time."""
        walk, at = divmod(at, count)
        return int(_order(self.data.seed, number, walk, count)[(at + attempt) % count])


@lru_cache(maxsize=8)
def _order(seed: int, pool: int, walk: int, count: int) -> I64:
    order: I64 = np.random.default_rng((seed, 3, pool, walk)).permutation(count)
    return order


@lru_cache(maxsize=8)
def _places(seed: int, step: int, batch: int) -> I64:
    order: I64 = np.random.default_rng((seed, 4, step)).permutation(batch)
    return order
