"""A second net that knows vehicles: its pixels become UNKNOWN, everything else stays as the first net has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_drive
import small_onnx
from real_data import kitti, road_net

from recon.classes import RoadClass
from recon.config import MovablesConfig, SegmentConfig
from recon.drive import DriveLog
from recon.errors import ConfigInvalid
from recon.formats.read_drive import read_drive
from recon.segment.frame_labels import FrameLabels
from recon.segment.segment import segment
from workers.jobs.label import LabelJob
from workers.jobs.net import segment_identity
from workers.jobs.road_stages import segment_stage
from workers.spec import parse_spec

pytest.importorskip("openvino", reason="needs the extra [openvino]")

NAMES = ("van", "tree", "sky")  # the net's class i is its input channel i: red, green, blue


def onnx_net(folder: Path, *, dynamic: bool = False) -> tuple[Path, Path]:
    """Write an ONNX net and its class map; return both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    path = small_onnx.write(folder / "net.onnx", (1, 3, 24, 32))
    classes = [
        {"name": name, "road_class": "BACKGROUND", "dynamic": dynamic and i == 0} for i, name in enumerate(NAMES)
    ]
    body = {"name": "channels", "version": 1, "classes": classes, "input": {"color": "rgb", "scale": [10, 10, 10]}}
    (folder / "map.json").write_text(json.dumps(body))
    return path, folder / "map.json"


def with_red_block(folder: Path) -> DriveLog:
    """Return a drive whose images are grey with a red block, and whose ids call everything BACKGROUND."""
    small_drive.write(folder)
    for path in sorted(folder.glob("*/*.png")) + sorted(folder.glob("rear/*.jpg")):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if path.parent.name == "ids":
            image[:] = int(RoadClass.BACKGROUND)
        else:
            image[:] = (60, 90, 60)
            image[8:16, 4:14] = (0, 0, 250)
        cv2.imwrite(str(path), image)
    body = small_drive.document()
    body["frames"][0]["images"]["front"] = {"path": "front/0.png", "ids": "ids/front_0.png"}
    (folder / "drive.json").write_text(json.dumps(body))
    return read_drive(folder)


def movables(net: tuple[Path, Path], **more: Any) -> MovablesConfig:
    return MovablesConfig(weights=str(net[0]), class_map=str(net[1]), **more)


@pytest.mark.parametrize("listed", [True, False])
def test_listed_classes_become_unknown_and_the_rest_keeps_its_confidence(tmp_path: Path, listed: bool) -> None:
    drive, net = with_red_block(tmp_path / "drive"), onnx_net(tmp_path / "net", dynamic=not listed)
    second = movables(net, classes=("van",) if listed else ())
    plain = segment(drive, SegmentConfig(), tmp_path / "plain")
    labels = segment(drive, SegmentConfig(movables=second), tmp_path / "both")
    for one, other in zip(plain.images, labels.images, strict=True):
        before, after = plain.read(one), labels.read(other)
        block = np.zeros(after.ids.shape, bool)
        block[9:15, 5:13] = True
        assert (after.ids[block] == RoadClass.UNKNOWN).all()
        assert not after.confidence[block].any()
        far = np.ones_like(block)
        far[6:18, 2:16] = False
        assert np.array_equal(after.ids[far], before.ids[far])
        assert np.array_equal(after.confidence[far], before.confidence[far])


def test_what_moves_is_dilated_as_other_dynamic_objects_are(tmp_path: Path) -> None:
    drive, net = with_red_block(tmp_path / "drive"), onnx_net(tmp_path / "net")
    second = movables(net, classes=("van",))
    sizes = []
    for dilate in (0, 50):  # at 800 px: 0 and 2 px of these images
        labels = segment(drive, SegmentConfig(movables=second, dilate_dynamic_px=dilate), tmp_path / str(dilate))
        sizes.append(int((labels.read(labels.images[0]).ids[:20] == RoadClass.UNKNOWN).sum()))
    assert sizes[0] == 80
    assert sizes[1] > 1.4 * sizes[0]


def test_the_labels_name_the_second_net(tmp_path: Path) -> None:
    drive, net = with_red_block(tmp_path / "drive"), onnx_net(tmp_path / "net")
    segment(drive, SegmentConfig(movables=movables(net, classes=("van",))), tmp_path / "work")
    found = FrameLabels.open(tmp_path / "work")
    assert found.movables is not None
    assert found.movables["model"] == "openvino:net+channels.1"
    assert len(found.movables["weights_sha256"]) == 64
    assert found.movables["classes"] == ["van"]
    assert segment(drive, SegmentConfig(), tmp_path / "plain").movables is None


def test_the_key_of_the_stage_changes_with_the_weights_and_the_classes(tmp_path: Path) -> None:
    net = onnx_net(tmp_path / "net")
    one = segment_identity(SegmentConfig(movables=movables(net, classes=("van",))))
    assert str(tmp_path) not in json.dumps(one)
    assert segment_identity(SegmentConfig(movables=movables(net, classes=("van", "tree")))) != one
    net[0].write_bytes(net[0].read_bytes() + b"\x00")
    assert segment_identity(SegmentConfig(movables=movables(net, classes=("van",)))) != one


def test_the_stage_runs_the_code_and_the_device_of_both_nets() -> None:
    second = MovablesConfig(backend="mask2former", weights="demo_city")
    stage = segment_stage(SegmentConfig(movables=second))
    assert not any("mask2former" in name or "id_images" in name for name in stage.unused)
    assert any("openvino" in name for name in stage.unused)
    assert stage.gpus > 0


def test_the_files_of_the_second_net_are_inputs_of_the_job(tmp_path: Path) -> None:
    net = onnx_net(tmp_path / "net")
    body = {"weights": str(net[0]), "class_map": str(net[1]), "classes": ["van"]}
    job = parse_spec(json.dumps({"kind": "label", "drive": "/d", "segment": {"movables": body}}))
    assert isinstance(job, LabelJob)
    assert job.input_paths() == {
        "/drive": "/d",
        "/segment/movables/weights": str(net[0]),
        "/segment/movables/class_map": str(net[1]),
    }
    moved = job.with_paths({name: f"/elsewhere{path}" for name, path in job.input_paths().items()})
    assert moved.segment.movables is not None
    assert moved.segment.movables.weights == f"/elsewhere{net[0]}"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"classes": ("car",)}, r"the class map channels has no class 'car'"),
        ({}, r"marks no class as dynamic"),
    ],
)
def test_classes_that_cannot_be_looked_for_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    drive, net = with_red_block(tmp_path / "drive"), onnx_net(tmp_path / "net")
    with pytest.raises(ConfigInvalid, match=message):
        segment(drive, SegmentConfig(movables=movables(net, **more)), tmp_path / "work")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "segment.movables.weights"),
        ({"weights": "a.onnx"}, "segment.movables.class_map"),
        ({"weights": "a.onnx", "class_map": "cityscapes", "classes": ("car", "car")}, "names a class twice"),
        ({"weights": "a.onnx", "class_map": "cityscapes", "size_px": (3, 4)}, "segment.movables.size_px"),
    ],
)
def test_settings_without_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        MovablesConfig(**given)


@pytest.mark.slow
@pytest.mark.data
def test_the_net_of_the_city_looks_for_vehicles_beside_a_road_net(tmp_path: Path) -> None:
    """Two real nets: the first has no vehicles, the second learnt what moves as UNKNOWN."""
    whole = read_drive(kitti())
    drive = DriveLog(**{**{n: getattr(whole, n) for n in whole.__slots__}, "frames": whole.frames[:2]})
    first = {"backend": "openvino", "weights": str(road_net())}
    plain = segment(drive, SegmentConfig(**first), tmp_path / "plain")
    second = MovablesConfig(backend="mask2former", weights="demo_city", classes=("UNKNOWN",))
    both = segment(drive, SegmentConfig(**first, movables=second, device="cpu"), tmp_path / "both")
    for image in both.images:
        before, after = plain.read(image), both.read(image)
        kept = after.ids != RoadClass.UNKNOWN
        assert kept.any()
        assert np.array_equal(after.ids[kept], before.ids[kept])
        assert np.array_equal(after.confidence[kept], before.confidence[kept])
