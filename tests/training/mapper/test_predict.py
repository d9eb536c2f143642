"""Predictions for a drive: the folder of a label job, the files of other projects, and pictures of all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_mapper
import small_shards
import torch

from recon.errors import ConfigInvalid
from training.mapper.checkpoint_folder import export
from training.mapper.predict import imaged_cells, predict_samples, samples_of
from training.mapper.prediction_folder import predict_into
from training.mapper.score import patch_of, scalars_of, score_of, spread
from training.model.maptr import MapTR
from vectorize.evaluate.evaluate_result import Result
from vectorize.labels.shard import Sample, read_shard
from vectorize.publish.job_report import read_report

pytestmark = pytest.mark.slow

MODEL = replace(small_mapper.MODEL, layers=1, instances_many=0)


@pytest.fixture(scope="module")
def net() -> MapTR:
    torch.manual_seed(3)
    return MapTR(MODEL).eval()


@pytest.fixture(scope="module")
def model(net: MapTR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    export(folder, net, MODEL, {"steps": 0}, "card")
    return folder


def test_a_drive_gets_a_result_folder(model: Path, tmp_path: Path) -> None:
    drive = small_shards.drive(tmp_path / "drive")
    job = {"kind": "predict", "drive": str(tmp_path / "drive")}
    for _ in range(2):  # an earlier result is replaced
        report = predict_into(model, drive, tmp_path / "out", job, device="cpu", least_score=0.0)
    out = tmp_path / "out"
    assert read_report(out) == json.loads(json.dumps(report))
    assert report["keyframes"] == 4
    assert 0.0 < report["coverage"] < 1.0
    result = Result(out)
    samples = [sample for folder in result.shards for sample in read_shard(folder)]
    assert len(samples) == 4
    assert len(samples[0].record["vectors"]) == 24
    assert samples[0].record["provenance"]["model"] == json.loads((model / "model.json").read_text())["weights_sha256"]
    maptr = json.loads((out / "results/a_maptr_results.json").read_text())["results"]
    stream = json.loads((out / "results/a_streammapnet_submission.json").read_text())["results"]
    assert [one["sample_token"] for one in maptr] == [sample.key for sample in samples] == list(stream)
    scores = [vector["confidence_level"] for vector in maptr[0]["vectors"]]
    assert scores == sorted(scores, reverse=True)
    assert len(stream[samples[0].key]["vectors"]) == len(scores)
    for path in (out / "pictures").iterdir():
        assert cv2.imread(str(path)) is not None
    names = {path.stem for path in (out / "pictures").iterdir()}
    assert {"map", "overlays", "keyframe_000000", "keyframe_000003"} <= names


def test_a_sample_of_a_drive_is_that_of_its_shard(net: MapTR, tmp_path: Path) -> None:
    shards = small_shards.write(tmp_path, config=small_shards.PACK)
    drive = small_shards.drive(tmp_path / "drives/a")
    given = [
        [elements for _, elements, _ in predict_samples(net, MODEL, samples, device=torch.device("cpu"), threads=1)]
        for samples in (read_shard(shards), samples_of(drive, MODEL))
    ]
    assert len(given[0]) == 4
    for one, other in zip(*given, strict=True):
        assert [e.element_class for e in one] == [e.element_class for e in other]
        assert np.allclose([e.vertices for e in one], [e.vertices for e in other], atol=1e-3)


def test_labels_as_predictions_are_perfect(tmp_path: Path) -> None:
    from vectorize.evaluate.patch import elements_of

    samples = list(read_shard(small_shards.write(tmp_path)))
    record = score_of([patch_of(s, elements_of(s.record, s.key)) for s in samples])
    scalars = scalars_of(record)
    assert scalars["map/full"] == scalars["map/observed"] == 1.0
    assert scalars["ap/full/divider"] == 1.0
    assert "ap/full/stop_line" not in scalars


def test_observed_is_what_lent_images_saw(tmp_path: Path) -> None:
    """Labels of a true map know the whole patch: what the images did not show is full range, not observed."""
    from vectorize.evaluate.patch import elements_of

    sample = next(iter(read_shard(small_shards.write(tmp_path))))
    observed = np.ones_like(sample.known)
    observed[:, : observed.shape[1] // 2] = False  # everything left of the vehicle: divider, boundary
    whole = replace(sample, known=np.ones_like(sample.known), observed=observed)
    right = [e for e in elements_of(sample.record, sample.key) if e.element_class == "ped_crossing"]
    scalars = scalars_of(score_of([patch_of(whole, right)]))
    assert scalars["ap/full/divider"] == 0.0
    assert "ap/observed/divider" not in scalars
    assert scalars["ap/observed/ped_crossing"] == 1.0


def test_samples_are_spread_evenly() -> None:
    assert spread(0, 5) == []
    assert spread(3, 5) == [0, 1, 2]
    assert spread(101, 3) == [0, 50, 100]


def test_cells_that_no_camera_images_are_not_known(tmp_path: Path) -> None:
    from training.data.collate import collate
    from training.data.example import example_of

    sample = next(samples_of(small_shards.drive(tmp_path), MODEL))
    (seen,) = imaged_cells(collate([example_of(sample, MODEL)]))
    assert seen.shape == (40, 20)
    assert seen[2, 9]  # ahead
    assert not seen[-3:].any()  # behind


def predicted(net: MapTR, samples: list[Sample], **how: Any) -> list[tuple[int, int]]:
    """Return the number of elements and of imaged cells of each sample."""
    found = predict_samples(net, MODEL, samples, device=torch.device("cpu"), threads=1, **how)
    return [(len(elements), int(seen.sum())) for _, elements, seen in found]


@pytest.mark.parametrize("dark", [[0, 1, 2, 3], [1, 2]])
def test_a_keyframe_without_images_has_no_elements(net: MapTR, tmp_path: Path, dark: list[int]) -> None:
    samples = list(samples_of(small_shards.drive(tmp_path), MODEL))
    whole = predicted(net, samples)
    given = [replace(sample, images={}) if i in dark else sample for i, sample in enumerate(samples)]
    assert predicted(net, given) == [(0, 0) if i in dark else whole[i] for i in range(4)]


def test_a_model_is_used_with_the_cameras_of_its_training(net: MapTR, tmp_path: Path) -> None:
    drive = small_shards.drive(tmp_path / "drive")
    [front] = {cells for _, cells in predicted(net, list(samples_of(drive, MODEL)), cameras=("front",))}
    areas = {}
    for cameras in (["front"], [], ["roof"]):
        export(tmp_path / "model", net, MODEL, {"config": {"data": {"cameras": cameras}}}, "card")
        if cameras == ["roof"]:
            with pytest.raises(ConfigInvalid, match=r"roof .*There are front, cam\.left"):
                predict_into(tmp_path / "model", drive, tmp_path / "out", {}, device="cpu")
            predict_into(tmp_path / "model", drive, tmp_path / "out", {}, device="cpu", cameras=("front",))
        else:
            predict_into(tmp_path / "model", drive, tmp_path / "out", {}, device="cpu")
        shards = read_shard(tmp_path / "out/shards")
        areas["".join(cameras)] = {float(sample.known.mean()) for sample in shards}
    assert areas["front"] == areas["roof"]
    assert max(areas["front"]) == pytest.approx(front / (40 * 20), rel=0.02)
    assert min(areas[""]) > max(areas["front"])
