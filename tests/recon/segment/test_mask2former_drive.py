"""A drive through Mask2Former: batches, a stop in the middle, an image that does not decode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import small_drive
import tiny_mask2former

from recon.config import SegmentConfig
from recon.drive import DriveLog
from recon.errors import Cancelled, ImageInvalid
from recon.formats.read_drive import read_drive
from recon.segment.segment import segment
from workers.jobs.net import segment_identity


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> DriveLog:
    return read_drive(small_drive.write(tmp_path_factory.mktemp("small") / "drive"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> SegmentConfig:
    folder = tiny_mask2former.write(tmp_path_factory.mktemp("net"), labels=9, size_px=(96, 64))
    return SegmentConfig(backend="mask2former", weights=str(folder), device="cpu", batch=3)


@pytest.fixture(scope="module")
def whole(drive: DriveLog, config: SegmentConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    segment(drive, config, folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_stopped_run_continues_to_the_same_bytes(
    drive: DriveLog, config: SegmentConfig, whole: Path, tmp_path: Path, count: int
) -> None:
    def stop(done: int, total: int, unit: str = "", /) -> None:
        if done == count:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(drive, config, tmp_path / "work", stop)
    labels = segment(drive, config, tmp_path / "work")
    assert contents(tmp_path / "work") == contents(whole)
    assert labels.model.startswith("mask2former:")
    assert len(labels.weights_sha256) == 64


def test_one_bad_image_is_left_out_and_too_many_are_refused(config: SegmentConfig, tmp_path: Path) -> None:
    drive = read_drive(small_drive.write(tmp_path / "drive"))
    image = drive.frames[1].images[0]
    (drive.root / image.path).write_bytes(b"\xff\xd8\xffhalf")
    labels = segment(drive, replace(config, max_bad_share=0.2), tmp_path / "some")
    assert len(labels.images) == 7
    assert [(entry["frame"], entry["camera"]) for entry in labels.left_out] == [(1, image.camera)]
    with pytest.raises(ImageInvalid, match="1 of 8 images cannot be segmented") as caught:
        segment(drive, config, tmp_path / "none")
    assert image.path in caught.value.where


def test_the_stage_key_names_the_net_by_content(config: SegmentConfig, tmp_path: Path) -> None:
    folder = tiny_mask2former.copy(Path(config.weights), tmp_path / "elsewhere")
    moved = replace(config, weights=str(folder))
    assert segment_identity(moved) == segment_identity(config)
    (folder / "roadscribe.json").write_text('{"size_px": [128, 64]}')
    assert segment_identity(moved) != segment_identity(config)
