"""mmsegmentation's Mask2Former: its own scores folded to road classes, mask2former's contract, what is refused."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_drive
import tiny_mask2former
import tiny_mmseg
import torch

from recon.classes import CLASS_COUNT, CLASS_MAP_FOLDER, ClassMap, RoadClass
from recon.config import SegmentConfig
from recon.errors import Cancelled, ConfigInvalid, ModelInvalid
from recon.formats.read_drive import read_drive
from recon.segment.frame_labels import FrameLabels
from recon.segment.mmsegmentation.mmseg import MmsegMask2Former, check_names, with_unlabelled
from recon.segment.mmsegmentation.mmseg_files import read_config
from recon.segment.mmsegmentation.mmseg_net import build_net, class_names, load_checkpoint
from recon.segment.segment import segment

needs_mmseg = pytest.mark.skipif(not tiny_mmseg.importable(), reason="needs the extra [mmseg] (make mmseg)")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_mmseg.write(tmp_path_factory.mktemp("mmseg"), labels=9)


def config(weights: Path, **more: Any) -> SegmentConfig:
    return SegmentConfig(
        **{"backend": "mmseg", "weights": str(weights), "class_map": "roadscribe", "device": "cpu"} | more
    )


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@needs_mmseg
@pytest.mark.slow
def test_scores_are_those_of_mmsegmentation(weights: Path) -> None:
    """The oracle is mmsegmentation's own test step, from the BGR image that its pipeline would load."""
    from mmseg.structures import SegDataSample

    image = picture(50, 90)  # no multiple of 32: its preprocessor pads
    net = build_net(read_config(weights.with_suffix(".py")), where="")
    net.load_state_dict(load_checkpoint(weights)["state_dict"])
    sample = SegDataSample(metainfo={"ori_shape": (50, 90), "img_shape": (50, 90)})
    bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [theirs] = net.test_step({"inputs": [bgr], "data_samples": [sample]})
    scores = theirs.seg_logits.data.numpy()
    assert scores.shape == (9, 50, 90)
    folded = scores / scores.sum(axis=0)
    [ours] = MmsegMask2Former(config(weights, size_px=(90, 50))).segment([image])
    assert len(np.unique(ours.labels.ids)) >= 3
    sure = np.sort(folded, axis=0)[-1] - np.sort(folded, axis=0)[-2] > 1e-3
    assert sure.mean() > 0.9
    assert (ours.labels.ids == folded.argmax(axis=0))[sure].all()
    assert np.abs(ours.labels.confidence / 255 - folded.max(axis=0)).max() < 0.004
    assert (theirs.pred_sem_seg.data[0].numpy() == ours.labels.ids)[sure].all()


@needs_mmseg
@pytest.mark.slow
def test_both_back_ends_give_the_same_artifact_contract(weights: Path, tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path / "drive"))
    other = tiny_mask2former.write(tmp_path / "transformers", labels=9, size_px=(96, 64))
    configs = {
        "mmseg": config(weights, batch=3),
        "mask2former": SegmentConfig(backend="mask2former", weights=str(other), device="cpu", batch=3),
    }
    opened = {}
    for name, settings in configs.items():
        segment(drive, settings, tmp_path / name)
        opened[name] = FrameLabels.open(tmp_path / name, verify=True)  # sealed: digests of all files agree
        segment(drive, settings, tmp_path / f"{name}_again")
        assert contents(tmp_path / f"{name}_again") == contents(tmp_path / name)
    ours, theirs = opened["mmseg"], opened["mask2former"]
    assert set(contents(ours.folder)) == set(contents(theirs.folder))
    assert ours.images == theirs.images
    assert ours.left_out == theirs.left_out == ()
    assert (ours.model, theirs.model) == ("mmseg:net+roadscribe.1", "mask2former:transformers+roadscribe.1")
    assert len(ours.weights_sha256) == len(theirs.weights_sha256) == 64
    for image in ours.images:
        for labels in (ours.read(image), theirs.read(image)):
            planes = (labels.ids, labels.confidence, labels.runner_up, labels.runner_up_confidence)
            assert all(p.dtype == np.uint8 and p.shape == (small_drive.HEIGHT, small_drive.WIDTH) for p in planes)
            assert max(int(labels.ids.max()), int(labels.runner_up.max())) < CLASS_COUNT
            assert (labels.runner_up_confidence <= labels.confidence).all()
            assert (labels.confidence.astype(int) + labels.runner_up_confidence <= 256).all()
            unknown = labels.ids == RoadClass.UNKNOWN
            known = ~unknown & (labels.runner_up_confidence > 0)
            assert (labels.ids != labels.runner_up)[known].all()


@needs_mmseg
@pytest.mark.slow
def test_a_stopped_run_continues_to_the_same_bytes(weights: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, unit: str = "", /) -> None:
        if done == 4:
            raise Cancelled

    drive = read_drive(small_drive.write(tmp_path / "drive"))
    segment(drive, config(weights, batch=3), tmp_path / "whole")
    with pytest.raises(Cancelled):
        segment(drive, config(weights, batch=3), tmp_path / "work", stop)
    segment(drive, config(weights, batch=3), tmp_path / "work")
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")


@needs_mmseg
@pytest.mark.slow
def test_sizes_windows_tiles_and_half_precision(weights: Path, tmp_path: Path) -> None:
    net = MmsegMask2Former(config(weights))
    images = [picture(60, 90), picture(60, 90, 1), picture(40, 100)]
    together = net.segment(images)
    assert [r.labels.ids.shape for r in together] == [(60, 90), (60, 90), (40, 100)]
    alone = net.segment(images[2:])
    assert (alone[0].labels.ids == together[2].labels.ids).all()
    half = MmsegMask2Former(config(weights, dtype="bfloat16")).segment(images)
    assert np.mean([(h.labels.ids == t.labels.ids).mean() for h, t in zip(half, together, strict=True)]) > 0.9
    [tiled] = MmsegMask2Former(config(weights, tile=True, tile_overlap_px=16)).segment([picture(150, 200)])
    assert tiled.labels.ids.shape == (150, 200)
    body = tiny_mmseg.body(9, test_cfg={"mode": "slide", "crop_size": (64, 64), "stride": (48, 48)})
    del body["test_pipeline"]
    (tmp_path / "net.pth").write_bytes(weights.read_bytes())
    tiny_mmseg.write_config(tmp_path / "net.py", body)
    [windows] = MmsegMask2Former(config(tmp_path / "net.pth")).segment([picture(100, 130)])
    assert windows.labels.ids.shape == (100, 130)
    with pytest.raises(ConfigInvalid, match="size of tiles"):
        MmsegMask2Former(config(tmp_path / "net.pth", tile=True))


@needs_mmseg
@pytest.mark.slow
def test_unfit_checkpoints_are_refused_with_a_way_out(weights: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.pth"
    (tmp_path / "net.py").write_bytes(weights.with_suffix(".py").read_bytes())
    sound = torch.load(weights, weights_only=True)

    def refusal(checkpoint: dict[str, Any], **more: Any) -> ModelInvalid:
        torch.save(checkpoint, target)
        with pytest.raises(ModelInvalid) as caught:
            MmsegMask2Former(config(target, **more)).segment([picture(64, 96)])
        assert caught.value.where == str(target)
        assert caught.value.hint
        return caught.value

    state = sound["state_dict"]
    key = "decode_head.cls_embed.bias"
    assert "the net has 9 classes, the class map cityscapes has 19" in refusal(sound, class_map="cityscapes").message
    without = {name: value for name, value in state.items() if name != key}
    assert refusal({"state_dict": without}).message == f"1 weights are missing, the first {key}"
    assert key in refusal({"state_dict": {**state, key: torch.zeros(3)}}).message
    nan = refusal({"state_dict": {**state, key: torch.full_like(state[key], torch.nan)}})
    assert nan.message == "the net returns NaN or infinity"
    names = {"dataset_meta": {"classes": ("sky",) * 9}}
    assert "class 0 is 'sky' in the checkpoint" in refusal({**sound, "meta": names}).message


@needs_mmseg
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subprocess.call", "os.system", "mmengine.load", "mmengine.config.Config", "Nothing"])
def test_a_type_that_nobody_registered_is_refused(kind: str) -> None:
    body = tiny_mmseg.body(9, neck={"type": kind, "args": "never"})
    with pytest.raises(ModelInvalid, match="unknown type") as caught:
        build_net(body, where="net.py")
    assert caught.value.where == "net.py"


@needs_mmseg
@pytest.mark.slow
def test_other_nets_and_unfit_settings_are_refused() -> None:
    body = tiny_mmseg.body(9)
    body["model"]["decode_head"] = {"type": "FCNHead"}
    with pytest.raises(ModelInvalid, match="FCNHead"):
        build_net(body, where="net.py")
    with pytest.raises(ModelInvalid, match="None"):
        build_net({}, where="net.py")
    for test in ({"mode": "half"}, {"mode": "slide", "crop_size": (64, 64)}, "whole"):
        with pytest.raises(ModelInvalid, match="test_cfg"):
            build_net(tiny_mmseg.body(9, test_cfg=test), where="net.py")
    with pytest.raises(ModelInvalid, match="no data_preprocessor"):
        build_net(tiny_mmseg.body(9, data_preprocessor=None), where="net.py")
    body = tiny_mmseg.body(9)
    body["model"]["backbone"]["colour"] = "red"
    with pytest.raises(ModelInvalid, match="cannot build the net: TypeError"):
        build_net(body, where="net.py")


@needs_mmseg
@pytest.mark.slow
def test_a_shipped_configuration_builds_once_it_is_written_out(tmp_path: Path) -> None:
    """The hint's own command: mmengine resolves inheritance and writes plain data."""
    import mmseg

    source = Path(mmseg.__file__).parent / ".mim/configs/mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py"
    with pytest.raises(ModelInvalid, match="inherits"):
        read_config(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmengine import Config

        whole = Config.fromfile(source)
        whole.dump(tmp_path / "net.py")
    body = read_config(tmp_path / "net.py")
    assert body["model"] == whole.model.to_dict()
    assert build_net(body, where="net.py").num_classes == 19


@needs_mmseg
@pytest.mark.slow
def test_shipped_class_maps_name_what_mmsegmentation_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mmseg.datasets import CityscapesDataset, MapillaryDataset_v1, MapillaryDataset_v2
    pairs = {
        "mapillary_vistas_v1_2": MapillaryDataset_v1,
        "mapillary_vistas_v2_0": MapillaryDataset_v2,
        "cityscapes": CityscapesDataset,
    }
    for name, dataset in pairs.items():
        names = class_names({"meta": {"dataset_meta": dataset.METAINFO}})
        class_map = with_unlabelled(ClassMap.load(CLASS_MAP_FOLDER / f"{name}.json"), names)
        assert len(names) == len(class_map.names)
        check_names(class_map, names, where=name)


def test_a_missing_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.pth").write_bytes(b"")
    tiny_mmseg.write_config(tmp_path / "net.py", tiny_mmseg.body(9))
    for name in ("mmcv", "mmdet", "mmseg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelInvalid, match="mmsegmentation cannot be used") as caught:
        MmsegMask2Former(config(tmp_path / "net.pth"))
    assert "make mmseg" in caught.value.hint
    assert "roadscribe[mmseg]" in caught.value.hint


class Payload:
    """An object in a checkpoint: unpickled without care, it would run what it likes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_checkpoint_with_objects_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.pth"
    torch.save({"state_dict": {}, "message_hub": Payload()}, path)
    with pytest.raises(ModelInvalid, match="holds more than weights") as caught:
        load_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    assert "weights_only=False" in caught.value.hint
    for body in ({}, {"state_dict": {"a": 1}}, [1]):
        torch.save(body, path)
        with pytest.raises(ModelInvalid, match="no state_dict"):
            load_checkpoint(path)
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    for size in (0, 10, 400, 3000):
        damaged = path.with_name("damaged.pth")
        damaged.write_bytes(path.read_bytes()[:size])
        with pytest.raises(ModelInvalid) as caught:
            load_checkpoint(damaged)
        assert caught.value.where == str(damaged)


def test_names_in_the_checkpoint_are_compared_without_spelling() -> None:
    class_map = ClassMap(name="mine", version=1, names=("Curb Cut", "Road"), targets=(RoadClass.CURB, RoadClass.ROAD))
    check_names(class_map, ("curb-cut", "road"), where="")
    check_names(class_map, (), where="")
    with pytest.raises(ModelInvalid, match="class 1 is 'Sky' in the checkpoint and 'Road' in the class map mine"):
        check_names(class_map, ("Curb Cut", "Sky"), where="net.pth")
    more = with_unlabelled(class_map, ("Curb Cut", "Road", "Unlabeled"))
    assert (more.names[2], more.targets[2]) == ("Unlabeled", RoadClass.UNKNOWN)
    assert with_unlabelled(class_map, ("Curb Cut", "Road", "Sky")) is class_map
    assert class_names({"meta": {"dataset_meta": {"classes": ("a", "b")}}}) == ("a", "b")
    assert class_names({"meta": {"CLASSES": ["a"]}}) == ("a",)
    for checkpoint in ({}, {"meta": None}, {"meta": {"dataset_meta": None}}, {"meta": {"CLASSES": 3}}):
        assert class_names(checkpoint) == ()


def test_replacing_the_class_map_by_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="needs a class map"):
        replace(config(tmp_path / "net.pth"), class_map="")
