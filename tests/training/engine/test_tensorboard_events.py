"""TensorBoard event files, read back by an independent reading of the format."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from full_disk import full_disk
from other_python import run_with

from recon.errors import DiskFull
from training.engine.tensorboard_events import EventWriter, crc32c


@pytest.mark.parametrize(("data", "value"), [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA)])
def test_crc32c_has_the_published_values(data: bytes, value: int) -> None:
    assert crc32c(data) == value


def records(data: bytes) -> list[bytes]:
    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body, (check,) = data[12 : 12 + length], struct.unpack("<I", data[12 + length : 16 + length])
        value = crc32c(body)
        assert check == (((value >> 15 | value << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
        found.append(body)
        data = data[16 + length :]
    return found


def test_scalars_are_found_again(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.add(300, {"loss/total": 0.25, "rate": 1e-3})
    [file] = tmp_path.glob("events.out.tfevents.*")
    head, event = records(file.read_bytes())
    assert b"brain.Event:2" in head
    assert event[9:12] == b"\x10\xac\x02"  # field 2, varint 300
    assert b"\x0a\x0aloss/total\x15" + struct.pack("<f", 0.25) in event
    assert b"\x0a\x04rate\x15" + struct.pack("<f", 1e-3) in event


def test_a_picture_is_found_again(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.add_picture(3, "birds_eye", b"\x89PNG", (640, 2))
    [file] = tmp_path.glob("events.out.tfevents.*")
    image = b"\x08\x02\x10\x80\x05\x18\x03\x22\x04\x89PNG"  # height 2, width 640, RGB, data
    assert b"\x0a\x09birds_eye\x22" + bytes([len(image)]) + image in records(file.read_bytes())[1]


READ = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1])
found.Reload()
values = {tag: [[e.step, e.value] for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
images = {tag: [[e.step, e.width, e.height, len(e.encoded_image_string)] for e in found.Images(tag)]
          for tag in found.Tags()["images"]}
print(json.dumps([values, images]))
"""


def test_tensorboard_itself_reads_them(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    writer.add(7, {"a": 1.5, "loss/total": 0.25})
    writer.add(300, {"a": -2.0})
    writer.add_picture(300, "birds_eye", bytes(1000), (640, 360))
    values, images = run_with("tensorboard", READ, tmp_path)
    assert values == {"a": [[7, 1.5], [300, -2.0]], "loss/total": [[7, 0.25]]}
    assert images == {"birds_eye": [[300, 640, 360, 1000]]}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    with full_disk(), pytest.raises(DiskFull):
        writer.add(1, {"loss": 0.5})
    with full_disk(), pytest.raises(DiskFull):
        EventWriter(tmp_path / "other")
