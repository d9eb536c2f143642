"""Images with ids from every layout, and what is refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_drive

from recon.classes import RoadClass
from recon.errors import DriveInvalid, ImageInvalid
from training.segmenter.sources import IGNORED, condition_of, id_table, open_source


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def palette_png(ids: np.ndarray) -> bytes:
    """A palette PNG whose colours are not its numbers, as Mapillary writes label images."""
    height, width = ids.shape
    palette = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8).tobytes()
    rows = b"".join(b"\x00" + row.tobytes() for row in ids)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"PLTE", palette), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def vistas(folder: Path, version: str, ids: np.ndarray) -> Path:
    for part in ("images", f"{version}/labels"):
        (folder / "training" / part).mkdir(parents=True)
    cv2.imwrite(str(folder / "training/images/a.jpg"), np.full((*ids.shape, 3), 90, np.uint8))
    (folder / f"training/{version}/labels/a.png").write_bytes(palette_png(ids))
    return folder


def test_vistas_palette_numbers_become_road_classes(tmp_path: Path) -> None:
    ids = np.array([[21, 23, 69, 77], [35, 45, 51, 54], [4, 24, 108, 123]], np.uint8).repeat(8, 0).repeat(8, 1)
    source = open_source(vistas(tmp_path, "v2.0", ids))
    rgb, found = source.read(source.images[0])
    assert rgb.shape == (24, 32, 3)
    assert found[::8, ::8].tolist() == [[1, 1, 1, 1], [2, 3, 7, 8], [4, 5, 0, IGNORED]]


def test_vistas_v1_is_found_below_its_training_folder(tmp_path: Path) -> None:
    source = open_source(vistas(tmp_path, "v1.2", np.full((8, 8), 65, np.uint8)) / "training")
    assert (source.read(source.images[0])[1] == IGNORED).all()
    assert id_table("mapillary_vistas_v1_2")[24] == RoadClass.LANE_MARKING


def test_a_drive_gives_the_images_that_have_ids(tmp_path: Path) -> None:
    folder = tmp_path / "street-4-night"
    small_drive.write(folder)
    source = open_source(folder)
    assert source.images
    assert {image.condition for image in source.images} == {"night"}
    rgb, ids = source.read(source.images[0])
    assert rgb.shape[:2] == ids.shape


def test_plain_folders_are_paired_by_stem(tmp_path: Path) -> None:
    for name in ("images", "ids"):
        (tmp_path / name).mkdir()
    for stem in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"images/{stem}.png"), np.zeros((8, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "ids/b.png"), np.full((8, 8), 3, np.uint8))
    source = open_source(tmp_path)
    assert [item.image.name for item in source.images] == ["b.png"]


@pytest.mark.parametrize("name", ["city_7", "holiday", ""])
def test_a_name_without_a_condition_says_none(name: str) -> None:
    assert condition_of(name) == ""


def test_refusals_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(DriveInvalid, match="no images with ids") as caught:
        open_source(tmp_path)
    assert caught.value.where == str(tmp_path)
    source = open_source(vistas(tmp_path / "v", "v2.0", np.zeros((8, 8), np.uint8)))
    label = source.images[0].ids
    cv2.imwrite(str(label), np.zeros((8, 8), np.uint16))
    with pytest.raises(ImageInvalid) as damaged:
        source.read(source.images[0])
    assert str(label) in damaged.value.where
    label.write_bytes(palette_png(np.zeros((9, 8), np.uint8)))
    with pytest.raises(ImageInvalid, match="differ in size"):
        source.read(source.images[0])
    source.images[0].image.write_bytes(b"\xff\xd8\xffhalf")
    with pytest.raises(ImageInvalid):
        source.read(source.images[0])
