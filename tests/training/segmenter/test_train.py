"""A tiny net learns, a stopped run continues to the same weights, and the result opens in the back end."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from recon.classes import RoadClass
from recon.config import SegmentConfig
from recon.errors import ArtifactInvalid, ConfigInvalid, ImageInvalid, ModelInvalid, PathRefused
from recon.segment.checkpoint import PixelSpec
from recon.segment.mask2former import Mask2Former
from training.segmenter.config import TrainConfig
from training.segmenter.score import Score, score_of, spread
from training.segmenter.sources import Source, open_source
from training.segmenter.train import train

TINY = TrainConfig(
    preset="tiny",
    steps=4,
    batch=2,
    size_px=(96, 64),
    warmup_steps=2,
    validate_every=4,
    validate_images=2,
    save_every=2,
    threads=1,
    loader_threads=1,
    device="cpu",
)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Two plain pictures: grey road with a white line, green beside it."""
    folder = tmp_path / "data-day"
    for name in ("images", "ids"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(2):
        ids = np.full((64, 96), int(RoadClass.OFF_ROAD), np.uint8)
        ids[:, 20:80] = int(RoadClass.ROAD)
        ids[:, 45 + 6 * i : 51 + 6 * i] = int(RoadClass.LANE_MARKING)
        colors = np.zeros((9, 3), np.uint8)
        colors[[1, 2, 5]] = ((90, 90, 90), (240, 240, 240), (60, 140, 60))
        image = (colors[ids] + random.normal(0, 4, (64, 96, 3))).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"images/{i}.png"), image)
        cv2.imwrite(str(folder / f"ids/{i}.png"), ids)
    return open_source(folder)


def copy_of(source: Source, folder: Path) -> Source:
    """Return the same pictures in files of their own, to look at how the fit goes."""
    shutil.copytree(source.images[0].image.parents[1], folder / "held-day")
    return open_source(folder / "held-day")


def test_a_run_writes_what_it_promises(source: Source, tmp_path: Path) -> None:
    seen: list[dict[str, object]] = []
    net = train(tmp_path / "out", TINY, [source], [copy_of(source, tmp_path)], show=seen.append)
    names = sorted(path.name for path in net.iterdir())
    assert names == ["MODEL_CARD.md", "config.json", "model.safetensors", "roadscribe.json"]
    assert PixelSpec.of_folder(net).size_px == (96, 64)
    weights = load_file(net / "model.safetensors")
    assert weights["class_predictor.weight"].dtype == torch.float16
    rows = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert "loss/total" in rows[0]
    assert "iou/day/road_mean" in rows[-1]
    drawn = sorted((tmp_path / "out/pictures/step-00000004").iterdir())
    assert [path.name for path in drawn] == ["held_0.png", "held_1.png"]
    assert cv2.imread(str(drawn[0])).shape == (3 * 64, 96, 3)
    assert list((tmp_path / "out/events").glob("events.out.tfevents.*"))
    assert [row["step"] for row in seen] == [4]
    assert "data-day, 2 images" in (net / "MODEL_CARD.md").read_text()
    segmenter = Mask2Former(SegmentConfig(backend="mask2former", weights=str(net), device="cpu"))
    scores = score_of(segmenter, spread([source], 10))
    assert scores["day"].images == 2
    assert scores[""].seconds > 0


@pytest.mark.slow
def test_the_net_of_the_best_validation_is_exported(source: Source, tmp_path: Path) -> None:
    config = replace(TINY, steps=6, validate_every=2, best="iou/day/road_mean")
    net = train(tmp_path / "out", config, [source], [copy_of(source, tmp_path)])
    best = json.loads(next((tmp_path / "out/best").rglob("best.json")).read_text())
    kept = load_file(next((tmp_path / "out/best").rglob("ema.safetensors")))
    exported = load_file(net / "model.safetensors")
    assert torch.equal(exported["class_predictor.weight"], kept["class_predictor.weight"].half())
    assert f"step {best['step']}" in (net / "MODEL_CARD.md").read_text()


def test_a_rounded_run_learns_nearly_the_same(source: Source, tmp_path: Path) -> None:
    weights, losses = [], []
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision
        weights.append(load_file(train(out, replace(TINY, precision=precision), [source]) / "model.safetensors"))
        losses.append(json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["loss/total"])
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert all(torch.isfinite(value).all() for value in weights[1].values())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_stopped_run_continues_to_the_same_weights(source: Source, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", TINY, [source])
    steps: list[int] = []

    def stop() -> bool:
        steps.append(1)
        return len(steps) == 3

    train(tmp_path / "parts", TINY, [source], should_stop=stop)
    parts = train(tmp_path / "parts", TINY, [source], resume=True)
    one, other = load_file(whole / "model.safetensors"), load_file(parts / "model.safetensors")
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_another_run_in_the_same_folder_is_refused(source: Source, tmp_path: Path) -> None:
    train(tmp_path / "out", replace(TINY, steps=2), [source])
    with pytest.raises(PathRefused, match="holds a training run"):
        train(tmp_path / "out", TINY, [source])
    with pytest.raises(ArtifactInvalid, match="other settings"):
        train(tmp_path / "out", replace(TINY, batch=1), [source], resume=True)
    state = next((tmp_path / "out/state").glob("*/optimizer.safetensors"))
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(ArtifactInvalid, match="damaged") as caught:
        train(tmp_path / "out", TINY, [source], resume=True)
    assert caught.value.where == str(state.parent)


def test_images_that_are_learnt_from_are_not_held_out(source: Source, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="2 images are in --data and --validation"):
        train(tmp_path / "out", TINY, [source], [source])
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_ends_the_run_with_its_name(source: Source, tmp_path: Path) -> None:
    image = source.images[0].image
    image.write_bytes(image.read_bytes()[:-30])
    with pytest.raises(ImageInvalid) as caught:
        train(tmp_path / "out", replace(TINY, steps=30), [source])
    assert caught.value.where == str(image)


def test_a_loss_that_is_not_finite_names_every_term(source: Source, tmp_path: Path) -> None:
    import tiny_mask2former

    start = tiny_mask2former.write(tmp_path / "start", labels=9, size_px=(96, 64))
    weights = load_file(start / "model.safetensors")
    weights["class_predictor.bias"][0] = torch.nan
    save_file(weights, start / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelInvalid, match=r"step 0 is not finite: .*nll .*dice .*bce ") as caught:
        train(tmp_path / "out", replace(TINY, start_from=str(start)), [source])
    assert "learning_rate" in caught.value.hint


def test_a_checkpoint_of_other_classes_is_fine_tuned(source: Source, tmp_path: Path) -> None:
    import tiny_mask2former

    start = tiny_mask2former.write(tmp_path / "vistas", labels=65, size_px=(96, 64))
    net = train(tmp_path / "out", replace(TINY, start_from=str(start), steps=2), [source])
    assert Mask2Former(SegmentConfig(backend="mask2former", weights=str(net), device="cpu")).name.endswith(
        "roadscribe.1"
    )


@pytest.mark.slow
def test_a_tiny_net_learns_a_thin_line(source: Source, tmp_path: Path) -> None:
    config = replace(TINY, steps=250, batch=4, learning_rate=4e-3, warmup_steps=20, ema=0.98, validate_every=250)
    seen: list[dict[str, dict[str, dict[str, float]]]] = []
    train(tmp_path / "out", config, [source], [copy_of(source, tmp_path)], show=seen.append)
    iou = seen[-1]["all"]["iou"]
    assert iou["ROAD"] > 0.9
    assert iou["LANE_MARKING"] > 0.6


def test_iou_is_that_of_a_double_loop() -> None:
    random = np.random.default_rng(0)
    truth, given = random.integers(0, 9, (2, 12, 15)).astype(np.uint8)
    truth[0] = 255
    score = Score()
    score.add(truth, given)
    for road_class, value in score.iou().items():
        both = sum(t == road_class == g for t, g in zip(truth.ravel(), given.ravel(), strict=True))
        either = sum(road_class in (t, g) for t, g in zip(truth.ravel(), given.ravel(), strict=True) if t != 255)
        assert value == pytest.approx(both / either)
