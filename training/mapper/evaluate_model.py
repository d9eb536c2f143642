"""The evaluation of a model: its predictions for the samples of shards, as `roadscribe evaluate` reports them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recon.artifact import digest_json
from recon.progress import Tick, silent
from recon.segment.mask2former import device_of
from training.data.shard_pool import ShardPool
from training.mapper.checkpoint_folder import load_model
from training.mapper.pictures import sheet
from training.mapper.predict import predict_samples
from training.mapper.score import patch_of, spread
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.evaluate_result import source_commit
from vectorize.evaluate.match_pictures import png
from vectorize.evaluate.patch import Patch, TruthIndex
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
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the record of a model's predictions, and pictures (PNG by name) of a few samples.

    The labels of the shards are the truth, unless `truth` names a true map in their world frame; observed is what the
    labels cover. `pictures` are shards that lend their images. Raises ModelInvalid for a model that cannot be used,
    ConfigInvalid for shards that do not fit it, ArtifactInvalid or ImageInvalid for damaged ones, InputInvalid for a
    true map that cannot be used.
    """
    config = config or EvaluateConfig()
    where = device_of(device, setting="--device")
    net, shape, digest = load_model(model, where)
    pool = ShardPool.open(list(shards), shape, pictures=list(pictures))
    source = read_truth(truth) if truth else None
    index = TruthIndex(source.road_map) if source else None
    drawn, sheets = set(spread(len(pool), DRAWN)), {}

    def patches() -> Iterator[Patch]:
        samples = (pool.read(number) for number in range(len(pool)))
        with closing(predict_samples(net, shape, samples, device=where, rounded=where.type == "cuda")) as found:
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
        "model": digest,
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
