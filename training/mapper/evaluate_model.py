"""The evaluation of a model: its predictions for the samples of shards, as `roadscribe evaluate` reports them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recon.artifact import digest_json
from recon.errors import ConfigInvalid
from recon.progress import Tick, silent
from recon.segment.mask2former import device_of
from training.data.shard_pool import ShardPool
from training.mapper.checkpoint_folder import load_model
from training.mapper.model_file import trained_cameras
from training.mapper.pictures import sheet
from training.mapper.predict import check_cameras, predict_samples
from training.mapper.score import patch_of, spread
from vectorize.datasets.snapshot_folder import is_snapshot, split_shards
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.evaluate_result import source_commit
from vectorize.evaluate.match_pictures import png
from vectorize.evaluate.patch import Patch, TruthIndex, check_frame
from vectorize.truth.read_truth import read_truth

DRAWN = 6
SURE = 0.3  # predictions of a lower score are measured and not drawn


def evaluate_model(
    model: Path,
    shards: Sequence[Path],
    truth: Path | None = None,
    config: EvaluateConfig | None = None,
    tick: Tick = silent,
    *,
    pictures: Sequence[Path] = (),
    device: str = "auto",
    split: str = "",
    cameras: Sequence[str] | None = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the record of a model's predictions, and pictures (PNG by name) of a few samples.

    The labels of the shards are the truth, unless `truth` names a true map in their world frame; observed is what the
    labels cover. `pictures` are shards that lend their images. Of a snapshot the samples of `split` are measured, by
    default those of validation; `cameras` are by default those that the model was trained with.

    Raises ModelInvalid for a model that cannot be used, ConfigInvalid for shards that do not fit it and for a split
    that is not there, ArtifactInvalid or ImageInvalid for damaged shards, InputInvalid for a true map that cannot be
    used or is of another place.
    """
    config = config or EvaluateConfig()
    where = device_of(device, setting="--device")
    net, shape, digest = load_model(model, where)
    shown = trained_cameras(model) if cameras is None else tuple(cameras)
    split = _split_of(shards, split)
    pool = ShardPool.open(list(shards), shape, pictures=list(pictures), split=split)
    first = pool.read(0)
    check_cameras(shown, [str(camera["name"]) for camera in first.record["cameras"]], first.key)
    source = read_truth(truth) if truth else None
    index = TruthIndex(source.road_map) if source else None
    if source and index:
        _check_place(index, pool, str(source.path))
    drawn, sheets = set(spread(len(pool), DRAWN)), {}

    def patches() -> Iterator[Patch]:
        samples = (pool.read(number) for number in range(len(pool)))
        how: dict[str, Any] = {"device": where, "cameras": shown, "rounded": where.type == "cuda"}
        with closing(predict_samples(net, shape, samples, **how)) as found:
            for number, (sample, elements, _) in enumerate(found):
                patch = patch_of(sample, elements, index)
                if config.fill_holes:
                    patch = replace(patch, region=patch.region.filled())
                if number in drawn:
                    sure = tuple(e for e in elements if e.score >= SURE)
                    sheets[sample.key] = png(sheet(sample, replace(patch, predicted=sure))[..., ::-1])
                yield patch

    record = evaluate_patches(patches(), config, tick, count=len(pool))
    about = {
        "drive": " + ".join(sorted({entry.drive for entry in pool.entries})),
        "labels": [one.manifest.digest for one in pool.shards],
        "split": split,
        "model": digest,
        "cameras": list(shown),  # empty: all that a sample has
        "segmenter": None,
        "seed": None,
        "job_config": "",
        "labelled_by": version("roadscribe"),
        "roadscribe": version("roadscribe"),
        "commit": source_commit(),
        "config": asdict(config),
        "truth": {
            "name": source.path.name if source else "the labels of the shards",
            "sha256": source.sha256 if source else digest_json([one.manifest.digest for one in pool.shards]),
            "seed": source.seed if source else None,
        },
    }
    notes = [f"{count} samples were left out: {reason}" for reason, count in pool.report()["left_out"].items()]
    return {"about": about, "reprojection": None, "patches": record, "site": None, "notes": notes}, sheets


def _split_of(shards: Sequence[Path], split: str) -> str:
    """Return the split that is measured, "" where no folder is a snapshot; ConfigInvalid where it is not there."""
    snapshots = [folder for folder in shards if is_snapshot(folder)]
    if not snapshots:
        if split:
            raise ConfigInvalid("only a snapshot has splits", where=", ".join(map(str, shards)))
        return ""
    # What a model learnt from says little of what it does elsewhere.
    split = split or "validation"
    for folder in snapshots:
        if not split_shards(folder, split, verify=False):
            hint = "Choose another with --split: train, validation or test."
            raise ConfigInvalid(f"the snapshot has no samples in its split {split}", where=str(folder), hint=hint)
    return split


def _check_place(truth: TruthIndex, pool: ShardPool, where: str) -> None:
    """Raise InputInvalid when the true map lies elsewhere: every prediction would count as wrong."""
    records = [pool.read(number).record for number in range(len(pool))]
    size = float(records[0]["patch"]["length_m"]), float(records[0]["patch"]["width_m"])
    check_frame(truth, [np.array(one["world_from_ego"], dtype=np.float64) for one in records], size, where)
