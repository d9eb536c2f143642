"""A snapshot as a dataset: every sample once an epoch, wherever it is cut or shared, and never a wrong bit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from labelled_jobs import write_town
from torch.utils.data import DataLoader

from recon.errors import ArtifactForeign, ArtifactInvalid, ConfigInvalid
from training.data.shard_dataset import ShardDataset
from vectorize.datasets.build import build
from vectorize.datasets.config import SnapshotConfig, SplitConfig
from vectorize.datasets.shard_cache import ShardCache
from vectorize.datasets.source import Folder, open_source

ALL = SnapshotConfig(dataset="city", splits=SplitConfig(validation=0.0, test=0.0))


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Return a snapshot of 40 samples in 15 shards."""
    folder = tmp_path_factory.mktemp("city")
    build([write_town(folder, number) for number in range(5)], ALL, folder / "snapshot")
    return folder / "snapshot"


def keys(samples):
    return [sample.key for sample in samples]


def bare(sample):
    return sample.key


def test_an_epoch_has_every_sample_once_and_its_own_order(city):
    data = ShardDataset(city, buffer_bytes=300_000)
    first = keys(data)
    assert len(first) == len(set(first)) == len(data) == 40
    assert keys(data) == []  # the epoch is over
    data.set_epoch(1)
    second = keys(data)
    assert sorted(second) == sorted(first)
    assert second != first
    data.set_epoch(0)
    assert keys(data) == first
    assert keys(ShardDataset(city, buffer_bytes=300_000, seed=1)) != first


@pytest.mark.parametrize("cut", [0, 1, 17, 39, 40])
def test_a_state_continues_where_it_was_taken(city, cut):
    whole = keys(ShardDataset(city, buffer_bytes=300_000))
    data = ShardDataset(city, buffer_bytes=300_000)
    begun = keys(islice(data, cut))
    state = json.loads(json.dumps(data.state_dict()))
    again = ShardDataset(city)  # its own settings give way to those of the state
    again.load_state_dict(state)
    assert begun + keys(again) == whole


@pytest.mark.parametrize(("ranks", "batch"), [(1, 4), (2, 3), (3, 1)])
def test_ranks_share_an_epoch(city, ranks, batch):
    whole = keys(ShardDataset(city, buffer_bytes=300_000))
    parts = [keys(ShardDataset(city, buffer_bytes=300_000, rank=r, ranks=ranks, batch=batch)) for r in range(ranks)]
    chunks = [whole[at : at + batch] for at in range(0, len(whole), batch)]
    assert parts == [[key for chunk in chunks[r::ranks] for key in chunk] for r in range(ranks)]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_loader_delivers_one_order_with_any_number_of_workers(city, workers):
    whole = keys(ShardDataset(city, buffer_bytes=300_000))
    data = ShardDataset(city, buffer_bytes=300_000, batch=4, transform=bare)
    batches = list(DataLoader(data, batch_size=4, num_workers=workers))
    assert [key for batch in batches for key in batch] == whole


def test_a_run_continues_with_other_ranks_and_workers(city):
    whole = keys(ShardDataset(city, buffer_bytes=300_000))
    data = ShardDataset(city, buffer_bytes=300_000, batch=4, rank=0, ranks=2, transform=bare)
    loader = iter(DataLoader(data, batch_size=4, num_workers=2))
    taken = [key for _ in range(2) for key in next(loader)]
    state = data.state_dict(batches=2)
    del loader
    assert taken == whole[0:4] + whole[8:12]
    assert state["seen"] == 16
    alone = ShardDataset(city, batch=2)
    alone.load_state_dict(state)
    assert keys(alone) == whole[16:]


@pytest.mark.parametrize(
    "workers", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_workers_that_persist_follow_the_epoch_and_a_state(city, workers):
    expected = []
    for epoch in range(4):
        alone = ShardDataset(city, buffer_bytes=300_000)
        alone.set_epoch(epoch)
        expected.append(keys(alone))
    data = ShardDataset(city, buffer_bytes=300_000, batch=4, transform=bare)
    data.load_state_dict(data.state_dict() | {"epoch": 1, "seen": 12})
    loader = DataLoader(data, batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    assert [key for batch in loader for key in batch] == expected[1][12:]
    for epoch in (2, 3):
        data.set_epoch(epoch)
        assert [key for batch in loader for key in batch] == expected[epoch]
    data.load_state_dict(data.state_dict() | {"epoch": 0, "seen": 20})
    assert [key for batch in loader for key in batch] == expected[0][20:]
    assert (data.epoch, data.seen) == (0, 20 if workers else 40)  # workers change nothing in the process of the loader


@pytest.mark.slow
def test_workers_that_persist_are_refused_with_another_order(city):
    data = ShardDataset(city, batch=4, transform=bare)
    loader = DataLoader(data, batch_size=4, num_workers=1, persistent_workers=True)
    next(iter(loader))
    data.load_state_dict(data.state_dict() | {"seed": 7})
    with pytest.raises(ConfigInvalid, match="another order"):
        list(loader)
    assert len(list(DataLoader(data, batch_size=4, num_workers=1))) == 10


@pytest.mark.parametrize(("ranks", "batch"), [(1, 4), (2, 3), (3, 7), (3, 1), (9, 8)])
def test_the_length_of_a_loader_is_of_its_rank(city, ranks, batch):
    for rank in range(ranks):
        data = ShardDataset(city, rank=rank, ranks=ranks, batch=batch, transform=bare)
        loader = DataLoader(data, batch_size=batch)
        batches = list(loader)
        assert len(loader) == len(batches)
        assert len(data) == sum(map(len, batches))


def test_a_state_of_another_snapshot_or_split_is_refused(city, tmp_path):
    state = ShardDataset(city).state_dict()
    build([write_town(tmp_path, 7)], ALL, tmp_path / "other")
    with pytest.raises(ArtifactForeign):
        ShardDataset(tmp_path / "other").load_state_dict(state)
    with pytest.raises(ConfigInvalid):
        ShardDataset(city, split="test").load_state_dict(state)


@pytest.mark.parametrize("wrong", [{"split": "val"}, {"batch": 0}, {"rank": 1}, {"rank": 2, "ranks": 2}])
def test_what_makes_no_sense_is_refused(city, wrong):
    with pytest.raises(ConfigInvalid):
        ShardDataset(city, **wrong)


class Faulty(Folder):
    """A source elsewhere, that flips a random bit of so many of its answers."""

    def __init__(self, address, faults):
        super().__init__(str(address))
        self.faults, self.fetched, self.random = faults, 0, random.Random(5)

    def local(self, path):
        return None

    def fetch(self, path, target):
        super().fetch(path, target)
        self.fetched += 1
        if self.faults > 0:
            self.faults -= 1
            data = bytearray(target.read_bytes())
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
            target.write_bytes(data)


@pytest.mark.parametrize("flips", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_noticed_and_the_shard_fetched_again(city, tmp_path, flips):
    _, snapshot = open_source(str(city))
    shard = next(iter(snapshot.shards.values()))
    for number in range(flips):
        source = Faulty(city, 1)
        source.random.seed(number)
        cache = ShardCache(source, tmp_path / "cache")
        assert cache.open(shard)[:] == (city / shard.path).read_bytes()
        assert source.fetched == 2
        (tmp_path / "cache" / f"{shard.sha256}.tar").unlink()


def test_a_shard_that_stays_damaged_is_given_up(city, tmp_path):
    _, snapshot = open_source(str(city))
    source = Faulty(city, 99)
    with pytest.raises(ArtifactInvalid, match="3 times"):
        ShardCache(source, tmp_path).open(next(iter(snapshot.shards.values())))
    assert source.fetched == 3
    assert not list(tmp_path.glob("*.tar"))


def test_a_shard_that_rots_in_the_cache_is_fetched_again(city, tmp_path):
    _, snapshot = open_source(str(city))
    shard = next(iter(snapshot.shards.values()))
    source = Faulty(city, 0)
    for fetched in (1, 2):
        assert ShardCache(source, tmp_path).open(shard)[:] == (city / shard.path).read_bytes()
        assert source.fetched == fetched
        path = tmp_path / f"{shard.sha256}.tar"
        path.write_bytes(b"x" + path.read_bytes()[1:])


def test_the_cache_stays_within_its_bytes(city, tmp_path):
    _, snapshot = open_source(str(city))
    shards = list(snapshot.shards.values())
    limit = 3 * max(one.size_bytes for one in shards)
    cache = ShardCache(Faulty(city, 0), tmp_path, limit)
    for shard in shards:
        cache.open(shard)
        assert sum(path.stat().st_size for path in tmp_path.glob("*.tar")) <= limit
    assert (tmp_path / f"{shards[-1].sha256}.tar").is_file()


CONSUMER = """
import json, os, sys, time
from training.data.shard_dataset import ShardDataset

address, log, cache = sys.argv[1:]
data = ShardDataset(address, buffer_bytes=300_000, cache=cache)
lines = open(log).read().splitlines()
if lines:
    data.load_state_dict(json.loads(lines[-1])["state"])
print("ready", flush=True)
with open(log, "a", buffering=1) as out:
    for sample in data:
        # One write: key and state are kept together, or neither is.
        os.write(out.fileno(), (json.dumps({"key": sample.key, "state": data.state_dict()}) + "\\n").encode())
        time.sleep(0.002)
"""


def consume(address: str, folder: Path, kills: int, seed: int, after_kill=lambda number: None) -> list[str]:
    """Consume epochs in a process that is killed so often, and return the keys of the last one."""
    chance, killed = random.Random(seed), 0
    log, code = folder / "log", CONSUMER.replace("cache=cache", "cache=__import__('pathlib').Path(cache)")
    log.write_text("")
    while True:
        command = [sys.executable, "-c", code, address, str(log), str(folder / "cache")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
        assert process.stdout.readline() == b"ready\n"
        if killed < kills:
            time.sleep(chance.uniform(0.0, 0.04))
            process.kill()
            killed += 1
            after_kill(killed)
        code_ = process.wait(120)
        process.stdout.close()
        if code_ == 0:
            found = [json.loads(line)["key"] for line in log.read_text().splitlines()]
            if killed >= kills:
                return found
            assert len(set(found)) == len(found)
            log.write_text("")  # the epoch ended before the next kill: begin another


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [3, 50])
def test_a_consumer_that_is_killed_sees_every_sample_once(city, tmp_path, kills):
    found = consume(str(city), tmp_path, kills, seed=kills)
    assert Counter(found) == Counter(row["key"] for row in ShardDataset(city)._rows)
    assert found == keys(ShardDataset(city, buffer_bytes=300_000))
