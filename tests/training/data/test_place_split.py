"""Towns never meet: a split keeps them whole, and a leak is refused."""

from __future__ import annotations

import numpy as np
import pytest
import small_shards
from small_shards import BARE, MODEL, at_degrees

from recon.errors import ConfigInvalid
from recon.geo_origin import GeoOrigin
from training.data.place_split import check_apart, fraction_of, split_towns, towns
from training.data.shard_pool import ShardPool
from vectorize.datasets.places import neighbours


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Return six towns; two drives share the first one."""
    folder = tmp_path_factory.mktemp("towns")
    fields = {"step_m": 40.0, "config": BARE}
    for number in range(6):
        small_shards.write(folder, name=f"town{number}", frames=8, origin=at_degrees(8.0 + 0.02 * number), **fields)
    small_shards.write(folder, name="again", frames=3, origin=at_degrees(8.0001), **fields)
    return ShardPool.open([folder / "shards"], MODEL, images=False)


def places(pool):
    return {entry.place for entry in pool.entries}


def test_drives_that_meet_are_one_town(pool):
    found = towns(pool)
    assert sorted(len(entries) for entries in found.values()) == [8, 8, 8, 8, 8, 11]
    assert {e.drive for e in max(found.values(), key=len)} == {"town0", "again"}


def test_a_split_keeps_towns_whole(pool):
    for seed in range(5):
        train, held = split_towns(pool, 0.3, seed)
        assert len(train) + len(held) == len(pool)
        assert 0.25 * len(pool) <= len(held) <= 0.5 * len(pool)
        assert not {e.drive for e in train.entries} & {e.drive for e in held.entries}
        check_apart([train], [held])
    assert len({frozenset(places(split_towns(pool, 0.3, seed)[1])) for seed in range(9)}) > 3


def test_a_leak_is_refused_and_names_two_samples(pool):
    odd, even = pool.only(pool.entries[1::2]), pool.only(pool.entries[::2])
    with pytest.raises(ConfigInvalid, match="the same place") as error:
        check_apart([odd], [even])
    assert error.value.where.count("-0") == 2
    town = [e for e in pool.entries if e.drive == "town3"]
    first, last = pool.only(town[:2]), pool.only(town[-2:])  # 200 m apart
    check_apart([first], [last])
    with pytest.raises(ConfigInvalid):  # neighbours: patches reach beyond their cells
        check_apart([first], [pool.only(town[3:4])])


def test_one_town_cannot_be_split(pool):
    with pytest.raises(ConfigInvalid, match="all drives meet"):
        split_towns(pool.only([e for e in pool.entries if e.drive in ("town0", "again")]), 0.2, 0)


def test_fractions_are_of_whole_places_and_nested(pool):
    before: set[str] = set()
    for share in (0.025, 0.05, 0.1, 0.2, 0.5, 1.0):
        part = fraction_of(pool, share, 3)
        assert before <= places(part)
        before = places(part)
        assert {e.key for e in pool.entries if e.place in before} == {e.key for e in part.entries}
        assert abs(len(part) - share * len(pool)) <= 4
        assert len(part) >= 1
    assert len(part) == len(pool)


def test_a_fraction_knows_what_was_left_out(pool):
    pool.leave_out("why")
    part = fraction_of(pool, 0.2, 3)
    part.leave_out("why")
    assert part.report()["left_out"] == {"why": 2}
    assert pool.report()["left_out"] == {"why": 1}


def test_drives_without_an_origin_are_places_of_their_own(tmp_path):
    for name in ("x", "y"):
        small_shards.write(tmp_path, name=name, frames=2)
    train, held = split_towns(ShardPool.open([tmp_path / "shards"], MODEL), 0.5, 1)
    assert len(train) == len(held) == 2


@pytest.mark.parametrize("latitude", [0.0, 49.0, -65.0])
def test_places_whose_patches_can_overlap_areneighbours(latitude):
    origin = GeoOrigin(latitude_deg=latitude, longitude_deg=8.0)
    random = np.random.default_rng(5)
    one = random.uniform(-500, 500, (300, 2))
    angle = random.uniform(0, 2 * np.pi, 300)
    other = one + 67.0 * np.stack([np.cos(angle), np.sin(angle)], 1)  # just less than a diagonal
    cells = [np.floor(origin.to_degrees(xy) / 0.001).astype(int) for xy in (one, other)]
    for a, b in zip(*cells, strict=True):
        names = [f"wgs84:{c[0]}:{c[1]}" for c in (a, b)]
        assert names[0] == names[1] or names[1] in neighbours(set(names), 67.08)[names[0]]
