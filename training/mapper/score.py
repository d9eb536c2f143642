"""What a model's predictions are worth: measured against the labels of held-out shards, or against a true map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from recon.progress import Tick, silent
from vectorize.config import CropConfig
from vectorize.evaluate.clip import Region
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.patch import Patch, TruthIndex, elements_of
from vectorize.labels.shard import Sample
from vectorize.road_map import Element

AREAS = {"full": "full_range", "observed": "observed"}


def patch_of(sample: Sample, predicted: Sequence[Element], truth: TruthIndex | None = None) -> Patch:
    """Return the predictions of a sample beside its labels, or beside a true map.

    Observed is what its labels knew and, where other labels lent the images, what those knew too: the labels of a true
    map know the whole patch.
    """
    known = sample.known if sample.observed is None else sample.known & sample.observed
    record = sample.record
    size = (float(record["patch"]["length_m"]), float(record["patch"]["width_m"]))
    pose, ground = np.array(record["world_from_ego"], dtype=np.float64), float(record["ground_z_ego_m"])
    crop = CropConfig(length_m=size[0], width_m=size[1])
    return Patch(
        name=sample.key,
        predicted=tuple(predicted),
        true=elements_of(record, sample.key) if truth is None else truth.crop(pose, ground, crop),
        region=Region.of_patch(known, *size),
        size_m=size,
        world_from_ego=pose,
        ground_z_ego_m=ground,
    )


def score_of(
    patches: Iterable[Patch], config: EvaluateConfig | None = None, tick: Tick = silent, *, count: int = 0
) -> dict[str, Any]:
    """Return the record of `vectorize.evaluate.evaluate_patches`, in this process."""
    return evaluate_patches(patches, config, tick, count=count)


def scalars_of(record: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a record that a log keeps: mAP, and AP of each class, on each area."""
    found: dict[str, float] = {}
    for name, key in AREAS.items():
        mean = record[key]["mean"]["chamfer"]["map"]
        if mean is not None:
            found[f"map/{name}"] = mean
        for element_class, entry in record[key]["classes"].items():
            if entry["chamfer"]["ap"] is not None:
                found[f"ap/{name}/{element_class}"] = entry["chamfer"]["ap"]
    return found


def scalar_names(classes: Sequence[str]) -> list[str]:
    """Return the names of `scalars_of` where labels hold these classes."""
    each = [f"ap/{area}/{name}" for area in AREAS for name in classes]
    return [*(f"map/{area}" for area in AREAS), *each] if classes else []


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` numbers, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
