"""Splits by place: towns that never meet, and fractions of them. Never by frame, since neighbours show one road.

Places that may show the same ground (`vectorize.datasets.places`) hang together, and are one town.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

from recon.errors import ConfigInvalid
from training.data.shard_pool import Entry, ShardPool
from vectorize.datasets.places import neighbours


def towns(pool: ShardPool) -> dict[str, tuple[Entry, ...]]:
    """Return the samples of each town, by the name of its first place; towns are at least a patch apart."""
    patch = [float(pool.shards[0].manifest.meta[name]) for name in ("length_m", "width_m")]
    near = neighbours({entry.place for entry in pool.entries}, math.hypot(*patch))
    town_of: dict[str, str] = {}
    for place in sorted(near):
        if place not in town_of:
            todo = [place]
            while todo:
                one = todo.pop()
                if one not in town_of:
                    town_of[one] = place
                    todo += near[one]
    found: dict[str, list[Entry]] = {}
    for entry in pool.entries:
        found.setdefault(town_of[entry.place], []).append(entry)
    return {name: tuple(found[name]) for name in sorted(found)}


def split_towns(pool: ShardPool, share: float, seed: int) -> tuple[ShardPool, ShardPool]:
    """Return two pools of whole towns, the second with about `share` of the samples and at least one town.

    Raises ConfigInvalid where all samples belong to one town.
    """
    found = towns(pool)
    if len(found) < 2:
        hint = "Name the held-out shards yourself, or add drives of another place."
        raise ConfigInvalid("all drives meet: no split keeps their places apart", where=next(iter(found)), hint=hint)
    held: set[str] = set()
    for name in _shuffled(found, seed)[:-1]:
        if held and sum(len(found[one]) for one in held) >= share * len(pool):
            break
        held.add(name)
    parts = [[e for name in found if (name in held) is wanted for e in found[name]] for wanted in (False, True)]
    return pool.only(parts[0]), pool.only(parts[1])


def fraction_of(pool: ShardPool, share: float, seed: int) -> ShardPool:
    """Return about `share` of the samples, whole places and at least one; a smaller share lies inside a larger one."""
    places: dict[str, list[Entry]] = {}
    for entry in pool.entries:
        places.setdefault(entry.place, []).append(entry)
    chosen: set[str] = set()
    count = 0
    for name in _shuffled(places, seed):
        # A place too many or one too few, whichever is nearer to the share.
        if chosen and count + len(places[name]) / 2 > share * len(pool):
            break
        chosen.add(name)
        count += len(places[name])
    return pool.only([entry for entry in pool.entries if entry.place in chosen])


def check_apart(train: Sequence[ShardPool], held: Sequence[ShardPool]) -> None:
    """Raise ConfigInvalid where a place of `held` lies within a patch of a place of `train`."""
    if not (train and held):
        return
    patch = [float(train[0].shards[0].manifest.meta[name]) for name in ("length_m", "width_m")]
    seen, kept = ({entry.place: entry for pool in pools for entry in pool.entries} for pools in (train, held))
    near = neighbours(seen.keys() | kept.keys(), math.hypot(*patch))
    for place, entry in kept.items():
        leak = next((one for one in (place, *near[place]) if one in seen), None)
        if leak is not None:
            hint = "Split by town (training.data.place_split), or leave these drives out of one of the two."
            where = f"{seen[leak].key} and {entry.key}"
            raise ConfigInvalid("training and validation show the same place", where=where, hint=hint)


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Return names in an order that depends on the seed and each name alone: others do not move it."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
