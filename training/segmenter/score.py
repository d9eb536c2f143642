"""Intersection over union per class, from a confusion matrix over all labelled pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recon.arrays import I64, U8
from recon.classes import CLASS_COUNT, GROUND, RoadClass
from recon.segment.mask2former import Mask2Former
from training.segmenter.sources import IGNORED, Source, TrainingImage

_BATCH = 4


@dataclass(slots=True)
class Score:
    """Counts of (true class, given class), and the seconds the segmenter took."""

    counts: I64 = field(default_factory=lambda: np.zeros((CLASS_COUNT, CLASS_COUNT), np.int64))
    images: int = 0
    seconds: float = 0.0

    def add(self, truth: U8, given: U8) -> None:
        """Count one image; pixels whose truth is IGNORED do not count."""
        known = truth != IGNORED
        pairs = truth[known].astype(np.int64) * CLASS_COUNT + given[known]
        self.counts += np.bincount(pairs, minlength=CLASS_COUNT**2).reshape(CLASS_COUNT, CLASS_COUNT)
        self.images += 1

    def iou(self) -> dict[RoadClass, float]:
        """Return the IoU of every class that occurs in the truth or in what was given."""
        hit = np.diag(self.counts)
        either = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hit
        return {c: float(hit[c] / either[c]) for c in RoadClass if either[c] > 0}

    def road_mean(self) -> float:
        """Return the mean IoU over the classes of the ground that the truth holds; 0 where it holds none."""
        iou, true = self.iou(), self.counts.sum(axis=1)
        values = [iou[c] for c in GROUND if true[c] > 0]
        return float(np.mean(values)) if values else 0.0

    def record(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return {
            "images": self.images,
            "road_mean_iou": round(self.road_mean(), 4),
            "iou": {road_class.name: round(value, 4) for road_class, value in self.iou().items()},
            "images_per_s": round(self.images / self.seconds, 2) if self.seconds else None,
        }


def score_of(
    segmenter: Mask2Former,
    items: Iterable[tuple[Source, TrainingImage]],
    each: Callable[[], None] = lambda: None,
) -> dict[str, Score]:
    """Return the score of all images under "", and of every condition that the sources name; ImageInvalid."""
    scores: dict[str, Score] = {"": Score()}
    waiting: list[tuple[U8, U8, str]] = []

    def run() -> None:
        start = time.perf_counter()
        results = segmenter.segment([image for image, _, _ in waiting])
        seconds = (time.perf_counter() - start) / len(waiting)
        for (_, truth, condition), result in zip(waiting, results, strict=True):
            for key in {"", condition}:
                score = scores.setdefault(key, Score())
                score.add(truth, result.labels.ids)
                score.seconds += seconds
            each()
        waiting.clear()

    for source, item in items:
        waiting.append((*source.read(item), item.condition))
        if len(waiting) == _BATCH:
            run()
    if waiting:
        run()
    return scores


def spread(sources: Iterable[Source], count: int) -> list[tuple[Source, TrainingImage]]:
    """Return up to `count` samples, evenly spread over all sources."""
    everything = [(source, item) for source in sources for item in source.images]
    chosen = np.unique(np.linspace(0, len(everything) - 1, min(count, len(everything))).round().astype(int))
    return [everything[i] for i in chosen]
