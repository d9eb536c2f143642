"""A snapshot as a dataset of PyTorch: in an order that depends on seed and epoch alone, wherever it is continued."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from recon.arrays import I64
from recon.errors import ConfigInvalid
from recon.prefetch import prefetch
from vectorize.datasets.config import SPLITS
from vectorize.datasets.layout import SAMPLES
from vectorize.datasets.shard_cache import LIMIT_BYTES, ShardCache, default_folder
from vectorize.datasets.source import open_source
from vectorize.labels.shard import Sample, parse_sample

BUFFER_BYTES = 512 << 20
AT_ONCE = 2  # shards of a window: one is verified here or by the service while another one travels


class ShardDataset(IterableDataset[Any]):
    """The samples of one split of a snapshot.

    An epoch is one order of all samples. Chunks of `batch` samples are dealt to ranks and workers in turn, so that a
    DataLoader with this `batch_size`, or with `batch_size=None` and `batch=1`, delivers the same order with any number
    of workers, and all ranks together are at one place of it after each step. That place is all that a state holds.
    """

    def __init__(
        self,
        address: str | Path,
        *,
        split: str = "train",
        batch: int = 1,
        seed: int = 0,
        rank: int | None = None,
        ranks: int | None = None,
        transform: Callable[[Sample], Any] | None = None,
        buffer_bytes: int = BUFFER_BYTES,
        cache: Path | None = None,
        cache_bytes: int = LIMIT_BYTES,
        api_key: str = "",
    ) -> None:
        """Open a snapshot: a folder, a URL of a bucket, or the address of a dataset or snapshot at a service.

        A dataset is its newest snapshot now; a state names the one it was made with. `rank` and `ranks` default to
        those of `torch.distributed`. Each worker holds at most `buffer_bytes` of shards, those fetched ahead included,
        or two shards; samples are shuffled within half of that. Shards from elsewhere are kept in `cache`. Raises
        ConfigInvalid, and what `open_source` raises.
        """
        if split not in SPLITS:
            raise ConfigInvalid(f"the split {split!r} is none of {', '.join(SPLITS)}", where="split")
        if batch < 1 or buffer_bytes < 1:
            raise ConfigInvalid("batch and buffer_bytes must be at least 1", where="ShardDataset")
        self._address, self._api_key, self._split, self._batch = str(address), api_key, split, batch
        self._seed, self._buffer_bytes, self._transform = seed, buffer_bytes, transform
        self._rank, self._ranks = _group(rank, ranks)
        self._cache, self._cache_bytes = cache or default_folder(), cache_bytes
        self._loads = 0  # states that changed the order of the samples
        # Shared memory: the workers of a DataLoader hold a copy of all else, which may outlive an epoch.
        self._place = torch.zeros(3, dtype=torch.int64)  # epoch, seen, loads
        self._place.share_memory_()  # type: ignore[no-untyped-call]
        self._open()

    def _open(self, sha256: str = "") -> None:
        self._source, self.snapshot = open_source(self._address, self._api_key, sha256=sha256)
        self._rows = self.snapshot.rows(self._source.read(SAMPLES), self._split)
        of_shard: dict[str, list[int]] = {}
        for number, row in enumerate(self._rows):
            of_shard.setdefault(row["shard"], []).append(number)
        self._of_shard = {sha: np.array(numbers, dtype=np.int64) for sha, numbers in of_shard.items()}

    def __len__(self) -> int:
        """Return the number of samples of a whole epoch that this rank takes, so that `len(loader)` counts its batches.

        Other ranks may take up to `batch` fewer or more.
        """
        full, rest = divmod(len(self._rows), self._batch)
        own = len(range(self._rank, full, self._ranks)) * self._batch
        return own + (rest if full % self._ranks == self._rank else 0)

    @property
    def epoch(self) -> int:
        """Return the number of the epoch."""
        return int(self._place[0])

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._place[0] = value

    @property
    def seen(self) -> int:
        """Return how many samples of the epoch all ranks have taken; of a DataLoader with workers, before its first."""
        return int(self._place[1])

    @seen.setter
    def seen(self, value: int) -> None:
        self._place[1] = value

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; before `iter(loader)`, also of a loader whose workers persist."""
        self.epoch, self.seen = epoch, 0

    def state_dict(self, *, batches: int = 0) -> dict[str, Any]:
        """Return where the epoch is, in a form for JSON.

        Workers of a DataLoader are other processes, whose progress is not seen here: `batches` states how many each
        rank took from it since it was made.
        """
        seen = min(len(self._rows), self.seen + batches * self._ranks * self._batch)
        return {**self._identity(), "epoch": self.epoch, "seen": seen}

    def _identity(self) -> dict[str, Any]:
        """Return what the order of an epoch depends on."""
        return {
            "snapshot": self.snapshot.sha256,
            "split": self._split,
            "seed": self._seed,
            "buffer_bytes": self._buffer_bytes,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where a state was taken, on the snapshot of then, with any number of ranks and workers.

        A loader whose workers persist and began with another snapshot, seed or buffer is refused when it goes on.
        Raises ConfigInvalid for a state of another split, and ArtifactForeign when that snapshot is gone.
        """
        if state["split"] != self._split:
            raise ConfigInvalid(f"the state is of the split {state['split']!r}", where="split")
        moved = any(state[name] != value for name, value in self._identity().items())
        if state["snapshot"] != self.snapshot.sha256:
            self._open(str(state["snapshot"]))
        self._seed, self._buffer_bytes = int(state["seed"]), int(state["buffer_bytes"])
        self._loads += int(moved)
        self._place[:] = torch.tensor([int(state["epoch"]), int(state["seen"]), self._loads])

    def __iter__(self) -> Iterator[Any]:
        """Return the rest of the epoch: of this rank, and in a worker of a DataLoader of this worker."""
        # Read here, not at the first sample: the epoch may be set anew while this one is still being delivered.
        return self._rest(self.epoch, self.seen, int(self._place[2]))

    def _rest(self, epoch: int, first: int, loads: int) -> Iterator[Any]:
        if loads != self._loads:
            hint = "Make a new DataLoader after load_state_dict."
            raise ConfigInvalid("the loader's workers hold another order of samples", where=self._address, hint=hint)
        info, cache = get_worker_info(), ShardCache(self._source, self._cache, self._cache_bytes)
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        calls = (partial(self._opened, cache, window) for window in self._windows(epoch, first, worker, workers))
        with closing(prefetch(calls, workers=1, ahead=1)) as windows:
            for window, maps in windows:
                for position, number in window:
                    row = self._rows[number]
                    data = maps[row["shard"]][row["offset"] : row["offset"] + row["size"]]
                    sample = parse_sample(row["key"], data, f"{self._source.address}/{row['shard']}")
                    if info is None:
                        # Before the yield: what was handed out counts as seen.
                        self.seen = min(len(self._rows), first + self._after(position - first))
                    yield sample if self._transform is None else self._transform(sample)
        if info is None:
            self.seen = len(self._rows)

    def _after(self, done: int) -> int:
        """Return how many samples all ranks have taken once this one took the sample `done` of the rest."""
        step = self._ranks * self._batch
        return done + 1 if self._ranks == 1 else (done // step) * step + (done % self._batch + 1) * self._ranks

    def _opened(
        self, cache: ShardCache, window: list[tuple[int, int]]
    ) -> tuple[list[tuple[int, int]], dict[str, mmap.mmap]]:
        needed = list(dict.fromkeys(self._rows[number]["shard"] for _, number in window))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            maps = pool.map(lambda sha256: cache.open(self.snapshot.shards[sha256]), needed)
            return window, dict(zip(needed, maps, strict=True))

    def _windows(self, epoch: int, first: int, worker: int, workers: int) -> Iterator[list[tuple[int, int]]]:
        """Yield what this worker takes of each window of the order: the place in the epoch, and the sample."""
        at = 0
        for numbers in self._order(epoch):
            places = np.arange(at, at + len(numbers))
            at += len(numbers)
            chunk = (places - first) // self._batch
            mine = (places >= first) & (chunk % self._ranks == self._rank)
            mine &= chunk // self._ranks % workers == worker
            if mine.any():
                yield list(zip(places[mine].tolist(), numbers[mine].tolist(), strict=True))

    def _order(self, epoch: int) -> Iterator[I64]:
        """Yield the samples of an epoch window by window: shards shuffled, then the samples of as many as fit."""
        names = list(self._of_shard)
        shuffled = [names[i] for i in np.random.default_rng((self._seed, 5, epoch)).permutation(len(names))]
        window: list[I64] = []
        size, count = 0, 0
        for name in [*shuffled, ""]:
            bytes_ = self.snapshot.shards[name].size_bytes if name else 0
            if window and (not name or size + bytes_ > self._buffer_bytes // 2):
                numbers = np.concatenate(window)
                yield numbers[np.random.default_rng((self._seed, 6, epoch, count)).permutation(len(numbers))]
                window, size, count = [], 0, count + 1
            if name:
                window.append(self._of_shard[name])
                size += bytes_


def _group(rank: int | None, ranks: int | None) -> tuple[int, int]:
    if (rank is None) != (ranks is None):
        raise ConfigInvalid("give both rank and ranks, or neither", where="ShardDataset")
    if rank is None or ranks is None:
        joined = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if joined else (0, 1)
    if not 0 <= rank < ranks:
        raise ConfigInvalid(f"rank {rank} is none of {ranks}", where="rank")
    return rank, ranks
