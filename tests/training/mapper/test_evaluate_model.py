"""A model is measured on what it did not learn, with its own cameras, against a map of the same place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_mapper
import small_shards
import torch
from labelled_jobs import write_town

from recon.errors import ConfigInvalid, InputInvalid
from training.data.shard_pool import ShardPool
from training.mapper import predict
from training.mapper.checkpoint_folder import export
from training.mapper.evaluate_model import evaluate_model
from training.model.maptr import MapTR
from vectorize.datasets.build import build
from vectorize.datasets.config import SnapshotConfig, SplitConfig
from vectorize.truth.true_map_reader import FORMAT, VERSION

pytestmark = pytest.mark.slow

MODEL = small_mapper.MODEL


def exported(folder: Path, cameras: tuple[str, ...] = ()) -> Path:
    torch.manual_seed(1)
    export(folder, MapTR(MODEL), MODEL, {"config": {"data": {"cameras": cameras}}}, "card")
    return folder


def test_a_snapshot_is_measured_on_its_validation(tmp_path: Path) -> None:
    towns = [write_town(tmp_path, number) for number in range(6)]
    splits = SplitConfig(validation=0.4, test=0.0)
    build(towns, SnapshotConfig(dataset="city", splits=splits), tmp_path / "snapshot")
    model = exported(tmp_path / "model")
    for split in ("", "train"):
        record, _ = evaluate_model(model, [tmp_path / "snapshot"], split=split)
        pool = ShardPool.open([tmp_path / "snapshot"], MODEL, split=split or "validation")
        assert record["about"]["split"] == (split or "validation")
        assert record["about"]["drive"] == " + ".join(sorted({entry.drive for entry in pool.entries}))
        assert len(record["patches"]["rows"]) == len(pool)
    with pytest.raises(ConfigInvalid, match="no samples in its split test"):
        evaluate_model(model, [tmp_path / "snapshot"], split="test")


def test_shards_are_measured_with_the_model_s_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards, model = small_shards.write(tmp_path), exported(tmp_path / "model", ("front",))
    counts = []
    real = predict.collate
    monkeypatch.setattr(
        predict, "collate", lambda examples: (counts.extend(len(e.views.present) for e in examples), real(examples))[1]
    )
    record, _ = evaluate_model(model, [shards])
    assert counts == [1] * 4
    assert (record["about"]["cameras"], record["about"]["split"]) == (["front"], "")
    with pytest.raises(ConfigInvalid, match=r"none of the cameras .*roof"):
        evaluate_model(model, [shards], cameras=("roof",))
    with pytest.raises(ConfigInvalid, match="only a snapshot has splits"):
        evaluate_model(model, [shards], split="test")


def test_a_true_map_of_another_place_is_refused(tmp_path: Path) -> None:
    shards, model = small_shards.write(tmp_path), exported(tmp_path / "model")
    line = {"class": "divider", "vertices": [[1e5, 1e5, 0], [1e5 + 50, 1e5, 0]], "style": "solid", "closed": False}
    true_map = {"format": FORMAT, "version": VERSION, "elements": [line]}
    (tmp_path / "true.json").write_text(json.dumps(true_map))
    with pytest.raises(InputInvalid, match="do not overlap"):
        evaluate_model(model, [shards], tmp_path / "true.json")
