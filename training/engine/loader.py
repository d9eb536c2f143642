"""Batches in the background. Batch n depends on seed and n alone, so a resumed run sees what it would have seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np
import torch

from training.segmenter.augment import Example, example_of, rarity
from training.segmenter.config import TrainConfig
from training.segmenter.samples import Sample, Source

_CANDIDATES = 4  # images that a crop which looks for paint is chosen from
_AHEAD = 3  # batches: reading and cutting take a fraction of a step


def batches(
    sources: Sequence[Source], config: TrainConfig, stride: int, first: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield images (B, 3, H, W) u8, shares (B, K, h, w) u8 and valid (B, h, w) u8 of the steps from `first` on.

    Raises ImageInvalid, naming the file, when an image is damaged.
    """
    pool = [(source, sample) for source in sources for sample in source.samples]
    cv2.setNumThreads(1)  # the threads here are the parallelism
    with ThreadPoolExecutor(max_workers=config.loader_threads, thread_name_prefix="load") as threads:
        queue: deque[list[Future[Example]]] = deque()
        step = first
        try:
            while step < config.steps or queue:
                while step < config.steps and len(queue) < _AHEAD:
                    queue.append([threads.submit(_example, pool, config, stride, step, k) for k in range(config.batch)])
                    step += 1
                made = [future.result() for future in queue.popleft()]
                yield (
                    torch.from_numpy(np.stack([e.image for e in made])).permute(0, 3, 1, 2),
                    torch.from_numpy(np.stack([e.share for e in made])),
                    torch.from_numpy(np.stack([e.valid for e in made])),
                )
        finally:
            threads.shutdown(cancel_futures=True)


def _example(pool: Sequence[tuple[Source, Sample]], config: TrainConfig, stride: int, step: int, place: int) -> Example:
    random = np.random.default_rng((config.seed, step, place))
    candidates = [pool[int(i)] for i in random.integers(len(pool), size=_CANDIDATES)]
    source, sample = candidates[0]
    if random.random() < config.paint_share:
        source, sample = max(candidates, key=lambda one: rarity(one[0].read_ids(one[1])))
    image, ids = source.read(sample)
    return example_of(image, ids, random, config, stride)
