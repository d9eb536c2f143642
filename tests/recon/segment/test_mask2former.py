"""Mask2Former: what transformers computes, folded to road classes; and what is refused, with the file and the fix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_mask2former
import torch

from recon.classes import CLASS_COUNT, ClassMap, RoadClass
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.checkpoint import PixelSpec
from recon.segment.frame_labels import Labels
from recon.segment.mask2former import Mask2Former, compose, decide, device_of, fast, fold_matrix, load_net
from recon.segment.net_frame import PAD
from recon.segment.net_spec import class_map_path


@pytest.fixture(scope="module")
def vistas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mask2former.write(tmp_path_factory.mktemp("vistas"), labels=65, size_px=(384, 384))


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mask2former.write(tmp_path_factory.mktemp("road"), labels=9, size_px=(96, 64))


def config(folder: Path, **more: Any) -> SegmentConfig:
    return SegmentConfig(backend="mask2former", weights=str(folder), device="cpu", **more)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_probabilities_are_those_of_transformers(vistas: Path) -> None:
    """The oracle is transformers' semantic post-processing, whose own working size is 384 x 384."""
    from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

    image = picture(384, 384)
    net = load_net(vistas)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy(((image / 255.0 - mean) / std).transpose(2, 0, 1)[None]).float()
    with torch.inference_mode():
        output = net(pixel_values=pixels)
        processor = Mask2FormerImageProcessorPil()
        [theirs] = processor.post_process_semantic_segmentation(
            output, target_sizes=[(384, 384)], return_segmentation_scores=True
        )
    scores = theirs.segmentation_scores.numpy()
    class_map = ClassMap.load(class_map_path("mapillary_vistas_v1_2"))
    folded = class_map.fold(scores / scores.sum(axis=0))
    [ours] = Mask2Former(config(vistas)).segment([image])
    sure = np.sort(folded, axis=0)[-1] - np.sort(folded, axis=0)[-2] > 1e-3
    assert sure.mean() > 0.5
    assert (ours.labels.ids == folded.argmax(axis=0))[sure].all()
    assert np.abs(ours.labels.confidence / 255 - folded.max(axis=0)).max() < 0.004


def test_folding_first_equals_folding_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(1)
    classes = torch.randn(2, 7, 66, generator=generator)
    masks = torch.randn(2, 7, 5, 4, generator=generator)
    class_map = ClassMap.load(class_map_path("mapillary_vistas_v1_2"))
    ours = compose(classes, masks, fold_matrix(class_map, 65, where=""))
    plain = torch.einsum("bqc,bqhw->bchw", classes.softmax(-1)[..., :-1], masks.sigmoid())
    plain = plain / plain.sum(dim=1, keepdim=True)
    for b in range(2):
        folded = class_map.fold(plain[b].numpy())
        moving = plain[b, list(class_map.dynamic)].sum(dim=0).numpy()
        folded[RoadClass.UNKNOWN] -= moving
        assert np.allclose(ours[b, :CLASS_COUNT], folded, atol=1e-5)
        assert np.allclose(ours[b, CLASS_COUNT], moving, atol=1e-5)


def test_what_moves_is_unknown_and_marked_dynamic() -> None:
    probability = torch.zeros(CLASS_COUNT + 1, 1, 3)
    probability[CLASS_COUNT, 0] = torch.tensor([0.6, 0.3, 0.0])
    probability[RoadClass.ROAD, 0] = torch.tensor([0.4, 0.7, 1.0])
    result = decide(probability)
    assert result.dynamic is not None
    assert result.dynamic.tolist() == [[True, False, False]]
    assert result.labels.ids.tolist() == [[0, 1, 1]]
    assert result.labels.runner_up.tolist()[0][:2] == [1, 0]


def test_the_two_likeliest_classes_are_those_of_a_sort() -> None:
    probability = np.round(np.random.default_rng(0).random((9, 20, 30), dtype=np.float32) * 10) / 10
    order = np.argsort(-probability, axis=0, kind="stable")
    ours = Labels.of_probability(probability)
    assert np.array_equal(ours.ids, order[0])
    assert np.array_equal(ours.runner_up, order[1])


def test_images_of_any_size_and_batches_are_answered(road: Path) -> None:
    images = [picture(40, 60), picture(90, 50, 1), picture(64, 96, 2)]
    together = Mask2Former(config(road, batch=2)).segment(images)
    assert [r.labels.ids.shape for r in together] == [(40, 60), (90, 50), (64, 96)]
    again = Mask2Former(config(road, batch=2)).segment(images)
    for one, other in zip(together, again, strict=True):
        assert one.labels.ids.tobytes() == other.labels.ids.tobytes()
        assert one.labels.confidence.tobytes() == other.labels.confidence.tobytes()
    alone = Mask2Former(config(road)).segment(images[1:2])[0]
    assert np.abs(alone.labels.confidence.astype(int) - together[1].labels.confidence).max() <= 1


def test_tiles_agree_with_the_whole_where_one_tile_covers_it(road: Path) -> None:
    image = picture(64, 96)
    whole = Mask2Former(config(road)).segment([image])[0]
    tiled = Mask2Former(config(road, tile=True)).segment([image])[0]
    assert np.abs(whole.labels.confidence.astype(int) - tiled.labels.confidence).max() <= 1
    large = Mask2Former(config(road, tile=True, tile_overlap_px=16)).segment([picture(150, 260)])[0]
    assert large.labels.ids.shape == (150, 260)


def test_half_precision_on_a_cpu(road: Path) -> None:
    exact = Mask2Former(config(road)).segment([picture(64, 96)])[0]
    rounded = Mask2Former(config(road, dtype="bfloat16")).segment([picture(64, 96)])[0]
    assert np.abs(exact.labels.confidence.astype(int) - rounded.labels.confidence).mean() < 8
    with pytest.raises(ConfigInvalid, match="float16 needs a CUDA device"):
        Mask2Former(config(road, dtype="float16"))


def test_fused_layers_compute_the_same(tmp_path: Path) -> None:
    folder = tiny_mask2former.write(tmp_path, labels=9, size_px=(96, 64), backbone="textnet")
    net, fused = load_net(folder), fast(load_net(folder))
    pixels = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = net(pixel_values=pixels), fused(pixel_values=pixels)
    assert torch.allclose(one.masks_queries_logits, other.masks_queries_logits, atol=1e-3)
    assert sum(1 for _ in fused.modules()) < sum(1 for _ in net.modules())


def test_a_net_without_the_unlabelled_class_takes_the_map_of_124(tmp_path: Path) -> None:
    folder = tiny_mask2former.write(tmp_path, labels=123, size_px=(96, 64))
    assert Mask2Former(config(folder)).name.endswith("mapillary_vistas_v2_0.1")


def test_another_class_count_names_file_and_fix(road: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="the net has 9 classes, the class map cityscapes has 19") as caught:
        Mask2Former(config(road, class_map="cityscapes"))
    assert caught.value.where == str(road / "model.safetensors")
    assert "belongs to these weights" in caught.value.hint
    odd = tiny_mask2former.write(tmp_path, labels=7, size_px=(96, 64))
    with pytest.raises(ModelInvalid, match="no shipped class map has 7 classes") as caught:
        Mask2Former(config(odd))
    assert "segment.class_map" in caught.value.hint


def test_nan_is_refused_with_the_file(road: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_mask2former.copy(road, tmp_path / "nan")
    weights = load_file(folder / "model.safetensors")
    weights["class_predictor.weight"] = torch.full_like(weights["class_predictor.weight"], torch.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelInvalid, match="NaN") as caught:
        Mask2Former(config(folder)).segment([picture(20, 30)])
    assert caught.value.where == str(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("fault", "message", "file"),
    [
        ("no folder", "the checkpoint folder does not exist", ""),
        ("no config", "config.json does not exist", "config.json"),
        ("no weights", "model.safetensors does not exist", "model.safetensors"),
        ("pickle", "pickle", "pytorch_model.bin"),
        ("truncated", "does not load", "model.safetensors"),
        ("missing", "weights are missing", "model.safetensors"),
        ("foreign", "the checkpoint is a vit", "config.json"),
        ("shard", "model-00001.safetensors does not exist", "model-00001.safetensors"),
        ("size", "size_px", "roadscribe.json"),
        ("entry", "unknown entry 'colour'", "roadscribe.json"),
        ("map", "unknown class map", ""),
    ],
)
def test_damaged_checkpoints_name_the_file(road: Path, tmp_path: Path, fault: str, message: str, file: str) -> None:
    folder = tiny_mask2former.copy(road, tmp_path / "net")
    tiny_mask2former.damage(folder, fault)
    wanted = config(folder if fault != "no folder" else tmp_path / "nowhere")
    with pytest.raises(ModelInvalid, match=message) as caught:
        Mask2Former(replace(wanted, class_map="nonsense") if fault == "map" else wanted)
    assert file in caught.value.where
    assert caught.value.hint or fault in ("size", "entry")


def test_a_hub_id_never_touches_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelInvalid, match="neither a folder nor in the local hub cache") as caught:
        Mask2Former(SegmentConfig(backend="mask2former", weights="somebody/some-net"))
    assert "model.safetensors" in caught.value.where
    assert "allow_download" in caught.value.hint


def test_a_preprocessor_of_transformers_is_understood(road: Path, tmp_path: Path) -> None:
    body = {"size": {"shortest_edge": 1024, "longest_edge": 1600}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(body))
    spec = PixelSpec.of_folder(tmp_path)
    assert (spec.size_px, spec.mean, spec.std) == ((1600, 896), (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    "steps",
    [
        {},
        {"do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
        {"do_rescale": False, "image_mean": [123.675, 116.28, 103.53], "image_std": [58.395, 57.12, 57.375]},
        {"do_rescale": False, "do_normalize": False},
    ],
)
def test_pixels_are_prepared_as_the_preprocessor_states(steps: dict[str, Any], tmp_path: Path) -> None:
    """The oracle is transformers' own processor with the same file."""
    from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil

    processor: Any = Mask2FormerImageProcessorPil(size={"height": 32, "width": 64}, **steps)
    processor.save_pretrained(tmp_path)
    image = picture(32, 64)
    theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
    spec = PixelSpec.of_folder(tmp_path)
    ours = ((image / 255.0 - spec.mean) / spec.std).transpose(2, 0, 1)
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("factor", [0, -1, "a", float("nan")])
def test_a_factor_that_scales_nothing_is_refused(factor: Any, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"rescale_factor": factor}))
    with pytest.raises(ModelInvalid, match="rescale_factor"):
        PixelSpec.of_folder(tmp_path)


def test_a_wide_image_is_framed_and_not_squeezed(road: Path) -> None:
    """The oracle frames by hand: what the net says of the framed image, cut out and resized."""
    image = picture(40, 192)
    framed = np.full((64, 96, 3), PAD, np.uint8)
    framed[44:] = cv2.resize(image, (96, 20), interpolation=cv2.INTER_AREA)
    segmenter = Mask2Former(config(road))
    with torch.inference_mode():
        [planes] = list(segmenter._probability([framed]))
        wanted = decide(torch.nn.functional.interpolate(planes[None, :, 44:], size=(40, 192), mode="bilinear")[0])
    [ours] = segmenter.segment([image])
    assert (ours.labels.ids == wanted.labels.ids).mean() > 0.999
    assert np.abs(ours.labels.confidence.astype(int) - wanted.labels.confidence).max() <= 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("setting", ["segment.device", "train.device", "--device"])
def test_a_device_that_is_not_there_is_refused_by_the_name_of_its_setting(setting: str) -> None:
    with pytest.raises(ConfigInvalid, match=f"{setting} is cuda"):
        device_of("cuda", setting=setting)
