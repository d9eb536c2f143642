"""The stage segment: deterministic, resumable, and honest about images it had to leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_drive
from real_data import kitti, road_net

from recon.classes import RoadClass
from recon.config import SegmentConfig
from recon.drive import DriveLog
from recon.errors import Cancelled, DriveEmpty, ImageInvalid, ModelInvalid
from recon.formats.read_drive import read_drive
from recon.segment.frame_labels import FrameLabels, Labels
from recon.segment.segment import _clean, segment
from recon.segment.segmenter import Segmentation

IDS = SegmentConfig(backend="id_images")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def stop_after(count: int) -> Callable[..., None]:
    def tick(done: int, total: int, unit: str = "", /) -> None:
        if done == count:
            raise Cancelled

    return tick


@pytest.fixture
def drive(tmp_path: Path) -> DriveLog:
    folder = small_drive.write(tmp_path / "drive")
    body = small_drive.document()
    body["frames"][0]["images"]["front"] = {"path": "front/0.png", "ids": "ids/front_0.png"}
    return read_drive(small_drive.write(folder, body=body))


def test_own_ids_are_kept_outside_the_ego_mask(drive: DriveLog, tmp_path: Path) -> None:
    labels = segment(drive, IDS, tmp_path / "work")
    assert [(i.frame, i.camera) for i in labels.images] == [(f, c) for f in range(4) for c in ("front", "rear")]
    assert FrameLabels.open(tmp_path / "work").images == labels.images
    front, rear = labels.read(labels.images[2]), labels.read(labels.images[3])
    truth = cv2.imread(str(drive.root / "ids/front_1.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(front.ids[:-4], truth[:-4])
    assert not front.ids[-4:].any()
    assert not front.confidence[-4:].any()
    assert np.array_equal(front.confidence[:-4] == 255, truth[:-4] != RoadClass.UNKNOWN)
    assert np.array_equal(rear.ids, cv2.imread(str(drive.root / "ids/rear_1.png"), cv2.IMREAD_UNCHANGED))


def test_the_same_drive_gives_the_same_bytes_wherever_it_lies(drive: DriveLog, tmp_path: Path) -> None:
    segment(drive, IDS, tmp_path / "a")
    moved = replace(drive, root=drive.root.rename(tmp_path / "elsewhere"))
    segment(moved, IDS, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_a_stopped_run_continues_to_the_same_bytes(drive: DriveLog, tmp_path: Path, count: int) -> None:
    segment(drive, IDS, tmp_path / "whole")
    work = tmp_path / "work"
    with pytest.raises(Cancelled):
        segment(drive, IDS, work, stop_after(count))
    # Images that were written ahead of the one reported count as well.
    assert len(list((work / "ids").glob("*.png"))) >= count
    assert not (work / "manifest.json").exists()
    # What a killed process leaves behind: scratch files and a file cut short.
    (work / "ids" / ".000003_front.png.0123abcd.part").write_bytes(b"half")
    for path in sorted((work / "evidence").glob("*.png"))[:1]:
        path.write_bytes(path.read_bytes()[:-20])
    seen: list[int] = []
    segment(drive, IDS, work, lambda done, total, unit="": seen.append(done))
    assert seen[0] >= max(count - 1, 0)
    assert seen == list(range(seen[0], 9))
    assert contents(work) == contents(tmp_path / "whole")


def test_a_finished_folder_is_sealed_again_unchanged(drive: DriveLog, tmp_path: Path) -> None:
    segment(drive, IDS, tmp_path / "work")
    before = contents(tmp_path / "work")
    segment(drive, IDS, tmp_path / "work")
    assert contents(tmp_path / "work") == before


def test_few_bad_images_are_left_out_and_named(drive: DriveLog, tmp_path: Path) -> None:
    (drive.root / "ids/rear_2.png").write_bytes(b"gone")
    labels = segment(drive, replace(IDS, max_bad_share=0.2), tmp_path / "work")
    assert len(labels.images) == 7
    (record,) = labels.left_out
    assert (record["frame"], record["camera"], record["code"]) == (2, "rear", "IMAGES_CORRUPT")
    assert record["where"] == "frame 2, rear/2.jpg"


def test_too_many_bad_images_fail_and_are_named(drive: DriveLog, tmp_path: Path) -> None:
    for i in (1, 2):
        (drive.root / f"ids/rear_{i}.png").unlink()
    with pytest.raises(ImageInvalid, match="2 of 8 images") as caught:
        segment(drive, replace(IDS, max_bad_share=0.2), tmp_path / "work")
    assert caught.value.where == "frame 1, rear/1.jpg, frame 2, rear/2.jpg"
    assert not (tmp_path / "work/manifest.json").exists()


def test_a_drive_without_ids_is_told_to_bring_them_or_a_model(drive: DriveLog, tmp_path: Path) -> None:
    bare = tuple(replace(f, images=tuple(replace(image, id_path="") for image in f.images)) for f in drive.frames)
    with pytest.raises(ImageInvalid, match="has no class ids") as caught:
        segment(replace(drive, frames=bare), IDS, tmp_path / "work")
    assert "Segment with a model" in caught.value.hint


def test_an_image_that_changed_since_the_drive_was_read_is_bad(drive: DriveLog, tmp_path: Path) -> None:
    (drive.root / "ids/rear_2.png").write_bytes((drive.root / "ids/rear_1.png").read_bytes())
    with pytest.raises(ImageInvalid, match="changed after the drive was read"):
        segment(drive, IDS, tmp_path / "work")


def test_a_drive_without_ids_says_so(tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path / "drive"))
    with pytest.raises(ImageInvalid, match="has no class ids"):
        segment(drive, IDS, tmp_path / "work")


def test_an_empty_drive_is_refused(drive: DriveLog, tmp_path: Path) -> None:
    with pytest.raises(DriveEmpty):
        segment(replace(drive, frames=()), IDS, tmp_path / "work")


def test_movers_are_widened_with_the_image(tmp_path: Path) -> None:
    ids = np.full((40, 1600), int(RoadClass.ROAD), np.uint8)
    dynamic = np.zeros_like(ids, bool)
    dynamic[20, 800] = True
    cleaned = _clean(Segmentation(labels=Labels.certain(ids), dynamic=dynamic), None, 5)
    unknown = cleaned.ids == RoadClass.UNKNOWN
    assert np.flatnonzero(unknown[20]).tolist() == list(range(790, 811))  # 5 px at 800 px width are 10 here
    assert not cleaned.confidence[unknown].any()
    assert (cleaned.confidence[~unknown] == 255).all()


def test_a_missing_model_fails_before_any_image(drive: DriveLog, tmp_path: Path) -> None:
    config = SegmentConfig(backend="openvino", weights=str(tmp_path / "none.xml"))
    with pytest.raises(ModelInvalid, match="does not exist"):
        segment(drive, config, tmp_path / "work")


@pytest.mark.slow
@pytest.mark.data
def test_the_real_net_resumes_on_the_real_drive(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra [openvino]")
    whole = read_drive(kitti())
    drive = replace(whole, frames=whole.frames[:40:4])
    config = SegmentConfig(backend="openvino", weights=str(road_net()))
    labels = segment(drive, config, tmp_path / "whole")
    with pytest.raises(Cancelled):
        segment(drive, config, tmp_path / "work", stop_after(7))
    segment(drive, config, tmp_path / "work")
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")
    share = np.zeros(9)
    for image in labels.images:
        share += np.bincount(labels.read(image).ids.ravel(), minlength=9)
    share /= share.sum()
    assert 0.15 < share[RoadClass.ROAD] < 0.35
    assert 0.005 < share[RoadClass.LANE_MARKING] < 0.02
    assert share[RoadClass.UNKNOWN] == 0
