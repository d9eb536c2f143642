"""Draws of a mix of pools: even by share, and each pool is walked through as if it were alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from small_shards import MODEL

from training.data.config import DataConfig
from training.data.sampling import Examples


@dataclass
class Pool:
    """What dealing asks of a pool."""

    share: float
    count: int = 7

    def __len__(self):
        return self.count


MIXES = [(1.0,), (3.0, 1.0), (0.25, 0.75), (1.0, 1.0), (0.3, 0.2, 0.1, 0.4), (1.0, 1e-3), (0.1,) * 7]


def examples(shares, batch=4, seed=3):
    return Examples([Pool(share) for share in shares], MODEL, DataConfig(seed=seed), batch)


def drawn(made, steps):
    """Return (pool, number of the draw in it) of each place of some steps."""
    return [[made._dealt(step, place) for place in range(made.batch)] for step in steps]


@pytest.mark.parametrize("shares", MIXES)
def test_draws_of_a_pool_are_numbered_without_a_gap(shares):
    made = examples(shares)
    counts = Counter()
    for step, batch in enumerate(drawn(made, range(500))):
        for number in range(len(shares)):
            own = sorted(at for pool, at in batch if pool == number)
            assert own == list(range(counts[number], counts[number] + len(own)))
            counts[number] += len(own)
            even = (step + 1) * made.batch * shares[number] / sum(shares)
            assert abs(counts[number] - even) < len(shares)


def test_a_late_step_asks_for_no_history():
    made = examples((0.3, 0.2, 0.5))
    (late,) = drawn(made, [10**12])
    assert [at / 4e12 for _, at in late] == pytest.approx([{0: 0.3, 1: 0.2, 2: 0.5}[pool] for pool, _ in late])
    assert drawn(examples((0.3, 0.2, 0.5)), [10**12]) == [late]


def test_every_walk_of_a_pool_visits_each_sample_once():
    made = Examples([Pool(0.25, 200), Pool(0.75, 90)], MODEL, DataConfig(seed=1), 8)
    chosen = {0: {}, 1: {}}
    for batch in drawn(made, range(200)):
        for pool, at in batch:
            chosen[pool][at] = made._choice(pool, len(made.pools[pool]), at, 0)
    for pool, count in ((0, 200), (1, 90)):
        order = [chosen[pool][at] for at in range(len(chosen[pool]))]
        walks = [order[at : at + count] for at in range(0, len(order) - count + 1, count)]
        assert len(walks) >= 2
        assert all(sorted(walk) == list(range(count)) for walk in walks)
        assert walks[0] != walks[1]


def test_one_pool_is_walked_through_in_the_order_of_its_draws():
    made = examples((2.0,), batch=3)
    assert [one for batch in drawn(made, range(5)) for one in batch] == [(0, draw) for draw in range(15)]
    # The formula is fixed: a running training can be resumed by a newer version.
    walks = [np.random.default_rng((3, 3, 0, walk)).permutation(7) for walk in range(3)]
    assert [made._choice(0, 7, draw, 0) for draw in range(21)] == np.concatenate(walks).tolist()


@pytest.mark.parametrize("processes", [2, 4])
def test_each_process_of_a_group_meets_every_pool(processes):
    made = examples((1.0, 1.0, 2.0), batch=8)
    for rank in range(processes):
        met = Counter(pool for batch in drawn(made, range(100)) for pool, _ in batch[rank::processes])
        assert [met[pool] / met.total() for pool in range(3)] == pytest.approx([0.25, 0.25, 0.5], abs=0.08)
