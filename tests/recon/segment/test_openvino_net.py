"""Any ONNX or IR net: layouts, colours, scaling, activations, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from real_data import kitti, road_net

from recon.classes import RoadClass
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.net_spec import NetSpec, class_map_path
from recon.segment.openvino_net import OpenVinoNet

ov = pytest.importorskip("openvino", reason="needs the extra [openvino]")

CLASSES = [
    {"name": "reddish", "road_class": "ROAD"},
    {"name": "greenish", "road_class": "LANE_MARKING"},
    {"name": "bluish", "road_class": "UNKNOWN", "dynamic": True},
]


def save_net(
    folder: Path,
    *,
    layout: str = "nchw",
    softmax: bool = True,
    gain: float = 0.05,
    size: tuple[int, int] = (16, 24),
    images: int = 1,
) -> Path:
    """Write an IR net whose score of class i is its i-th input channel, scaled."""
    from openvino import opset13 as ops

    height, width = size
    shape = [images, 3, height, width] if layout == "nchw" else [images, height, width, 3]
    data = ops.parameter(shape, np.float32, name="data")
    scores = ops.multiply(data, ops.constant(np.float32(gain)))
    result = ops.softmax(scores, 1 if layout == "nchw" else 3) if softmax else scores
    path = folder / "net.xml"
    ov.save_model(ov.Model([result], [data], "net"), str(path), compress_to_fp16=False)
    return path


def spec(folder: Path, classes: list[dict[str, Any]] = CLASSES, **more: Any) -> NetSpec:
    path = folder / "map.json"
    path.write_text(json.dumps({"name": "channels", "version": 1, "classes": classes, **more}))
    return NetSpec.load(path)


def stripes(width: int = 48, height: int = 32) -> np.ndarray:
    """Three vertical stripes: red, green, blue (RGB)."""
    image = np.full((height, width, 3), 10, np.uint8)
    for i in range(3):
        image[:, i * width // 3 : (i + 1) * width // 3, i] = 240
    return image


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("activation", ["softmax", "logits"])
def test_colours_come_out_as_classes(tmp_path: Path, layout: str, activation: str) -> None:
    weights = save_net(tmp_path, layout=layout, softmax=activation == "softmax")
    net = OpenVinoNet(weights, spec(tmp_path, input={"color": "rgb"}, output={"activation": activation}))
    (result,) = net.segment([stripes()])
    assert result.labels.ids.shape == (32, 48)
    assert result.labels.ids[16, [8, 24, 40]].tolist() == [RoadClass.ROAD, RoadClass.LANE_MARKING, RoadClass.UNKNOWN]
    assert result.labels.confidence[16, [8, 24, 40]].min() > 250
    assert result.dynamic is not None
    assert result.dynamic[16, [8, 24, 40]].tolist() == [False, False, True]


def test_bgr_is_the_default(tmp_path: Path) -> None:
    net = OpenVinoNet(save_net(tmp_path), spec(tmp_path))
    (result,) = net.segment([stripes()])
    assert result.labels.ids[16, [8, 24, 40]].tolist() == [RoadClass.UNKNOWN, RoadClass.LANE_MARKING, RoadClass.ROAD]


def test_mean_and_scale_are_applied(tmp_path: Path) -> None:
    given = {"color": "rgb", "mean": [125, 125, 125], "scale": [25, 25, 25]}
    net = OpenVinoNet(
        save_net(tmp_path, softmax=False, gain=1.0), spec(tmp_path, input=given, output={"activation": "logits"})
    )
    (result,) = net.segment([stripes()])
    scores = np.exp((np.array([240.0, 10.0, 10.0]) - 125) / 25)
    assert result.labels.confidence[16, 8] == round(255 * scores[0] / scores.sum())


def test_paint_thinner_than_a_net_pixel_survives_as_runner_up(tmp_path: Path) -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[..., 0] = 200
    image[:, 21] = (0, 255, 0)
    net = OpenVinoNet(save_net(tmp_path, gain=0.02), spec(tmp_path, input={"color": "rgb"}))
    (result,) = net.segment([image])
    assert (
        result.labels.runner_up[16, 21] == RoadClass.LANE_MARKING or result.labels.ids[16, 21] == RoadClass.LANE_MARKING
    )


def test_logits_without_a_word_are_refused(tmp_path: Path) -> None:
    net = OpenVinoNet(save_net(tmp_path, softmax=False), spec(tmp_path))
    with pytest.raises(ModelInvalid, match="not a probability") as caught:
        net.segment([stripes()])
    assert "logits" in caught.value.hint


def test_nan_is_refused(tmp_path: Path) -> None:
    net = OpenVinoNet(save_net(tmp_path, gain=float("nan")), spec(tmp_path))
    with pytest.raises(ModelInvalid, match="NaN"):
        net.segment([stripes()])


def test_another_class_map_is_refused(tmp_path: Path) -> None:
    net = OpenVinoNet(save_net(tmp_path), spec(tmp_path, CLASSES[:2]))
    with pytest.raises(ModelInvalid, match="3 x 16 x 24, the class map channels has 2"):
        net.segment([stripes()])


def test_open_size_needs_a_word(tmp_path: Path) -> None:
    weights = save_net(tmp_path, size=(-1, -1))
    with pytest.raises(ModelInvalid, match="no fixed input size"):
        OpenVinoNet(weights, spec(tmp_path))
    net = OpenVinoNet(weights, spec(tmp_path, input={"size_px": [24, 16]}))
    assert net.segment([stripes()])[0].labels.ids.shape == (32, 48)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    weights = save_net(tmp_path)
    with pytest.raises(ModelInvalid, match=r"other\.xml does not exist"):
        OpenVinoNet(tmp_path / "other.xml", spec(tmp_path))
    with pytest.raises(ModelInvalid, match=r"neither \.xml nor \.onnx"):
        OpenVinoNet(tmp_path / "map.json", spec(tmp_path))
    (tmp_path / "broken.onnx").write_bytes(b"not a net")
    with pytest.raises(ModelInvalid, match="cannot load"):
        OpenVinoNet(tmp_path / "broken.onnx", spec(tmp_path))
    weights.with_suffix(".bin").unlink()
    with pytest.raises(ModelInvalid, match=r"net\.bin does not exist"):
        OpenVinoNet(weights, spec(tmp_path))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = save_net(tmp_path)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelInvalid) as caught:
        OpenVinoNet(weights, spec(tmp_path))
    assert caught.value.hint == "pip install 'roadscribe[openvino]'"


def test_the_digest_covers_both_files(tmp_path: Path) -> None:
    first = save_net(tmp_path)
    (tmp_path / "b").mkdir()
    second = Path(shutil.copy(first, tmp_path / "b"))
    (tmp_path / "b" / "net.bin").write_bytes(first.with_suffix(".bin").read_bytes() + b"\0")
    digests = {OpenVinoNet(path, spec(tmp_path)).weights_sha256 for path in (first, second)}
    assert len(digests) == 2


@pytest.mark.data
def test_the_real_net_sees_the_road() -> None:
    net = OpenVinoNet(road_net(), NetSpec.load(class_map_path("road_segmentation_adas_0001")))
    image = cv2.imread(str(kitti() / "image_02/data/0000000040.png"))[..., ::-1]
    (first,), (again,) = net.segment([image]), net.segment([image])
    ids = first.labels.ids
    assert ids.shape == image.shape[:2]
    assert np.array_equal(ids, again.labels.ids)
    assert np.array_equal(first.labels.confidence, again.labels.confidence)
    assert 0.15 < (ids == RoadClass.ROAD).mean() < 0.4
    assert 0.004 < (ids == RoadClass.LANE_MARKING).mean() < 0.03
    assert (ids[:40] == RoadClass.BACKGROUND).mean() > 0.99  # above the horizon
    # Paint is brighter than the road around it.
    gray = image.mean(axis=-1)
    assert gray[ids == RoadClass.LANE_MARKING].mean() > gray[ids == RoadClass.ROAD].mean() + 30


def config(weights: Path, **more: Any) -> SegmentConfig:
    return SegmentConfig(backend="openvino", weights=str(weights), **more)


def test_a_wide_image_keeps_its_aspect(tmp_path: Path) -> None:
    """A net that calls a pixel by its row: squeezed, the middle of the image would lie elsewhere in the input."""
    net = OpenVinoNet(save_net(tmp_path, size=(32, 32)), spec(tmp_path, input={"color": "rgb"}))
    image = np.zeros((30, 120, 3), np.uint8)
    image[:15, :, 0], image[15:, :, 1] = 240, 240
    (result,) = net.segment([image])
    assert (result.labels.ids[:13] == RoadClass.ROAD).all()
    assert (result.labels.ids[17:] == RoadClass.LANE_MARKING).all()


@pytest.mark.parametrize("images", [-1, 1, 3])
def test_batches_give_what_single_images_give(tmp_path: Path, images: int) -> None:
    """An open batch takes segment.batch, and a fixed one is filled up."""
    weights = save_net(tmp_path, images=images)
    pictures = [np.random.default_rng(i).integers(0, 256, (32, 48, 3), dtype=np.uint8) for i in range(5)]
    given = spec(tmp_path, input={"color": "rgb"})
    together = OpenVinoNet(weights, given, config(weights, batch=2)).segment(pictures)
    for picture, result in zip(pictures, together, strict=True):
        (alone,) = OpenVinoNet(weights, given).segment([picture])
        assert np.array_equal(alone.labels.ids, result.labels.ids)
        assert np.array_equal(alone.labels.confidence, result.labels.confidence)


def test_tiles_see_paint_that_a_shrunk_image_loses(tmp_path: Path) -> None:
    weights = save_net(tmp_path, size=(32, 32), gain=0.1)
    image = np.zeros((64, 200, 3), np.uint8)
    image[..., 0] = 200
    image[:, 100] = (0, 255, 0)
    given = spec(tmp_path, input={"color": "rgb"})
    (shrunk,) = OpenVinoNet(weights, given).segment([image])
    (tiled,) = OpenVinoNet(weights, given, config(weights, tile=True, tile_overlap_px=8)).segment([image])
    assert (tiled.labels.ids[:, 100] == RoadClass.LANE_MARKING).all()
    assert (tiled.labels.ids == RoadClass.ROAD).sum() == 64 * 199
    assert not (shrunk.labels.ids == RoadClass.LANE_MARKING).any()


def test_the_working_size_reaches_a_net_of_open_size_and_is_refused_by_another(tmp_path: Path) -> None:
    given = spec(tmp_path, input={"color": "rgb"})
    open_net = save_net(tmp_path, size=(-1, -1))
    fine = np.zeros((64, 96, 3), np.uint8)
    fine[..., 0] = 200
    fine[:, 40] = (0, 255, 0)
    (result,) = OpenVinoNet(open_net, given, config(open_net, size_px=(96, 64))).segment([fine])
    assert (result.labels.ids[:, 40] == RoadClass.LANE_MARKING).all()
    fixed = save_net(tmp_path, size=(32, 48))
    OpenVinoNet(fixed, given, config(fixed, size_px=(48, 32)))
    with pytest.raises(ConfigInvalid, match=r"segment\.size_px is 96 x 64, but the input of the net is 48 x 32 px"):
        OpenVinoNet(fixed, given, config(fixed, size_px=(96, 64)))
