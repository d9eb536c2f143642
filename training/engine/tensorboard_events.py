"""TensorBoard event files: the few fields of its protocol that scalars and pictures need, without TensorFlow.

A file is a row of TFRecords: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data. Data is a
protobuf `Event`: wall_time = 1 (double), step = 2 (varint), file_version = 3 (string), summary = 5; a `Summary` holds
values = 1, each with tag = 1 (string) and simple_value = 2 (float) or image = 4: height = 1, width = 2, colorspace = 3
(varints; 3 is RGB), encoded_image_string = 4.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from recon.errors import storage_errors

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected


def _table() -> list[int]:
    rows = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return rows


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of some bytes."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """Return a TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _masked(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def _message(field: int, body: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _varint(len(body)) + body


class EventWriter:
    """Appends scalars and pictures to a new event file in `folder`; DiskFull or StorageError."""

    def __init__(self, folder: Path) -> None:
        now = time.time()
        # The process id keeps two runs of one second apart.
        self._path = folder / f"events.out.tfevents.{int(now)}.{os.getpid()}"
        self._write(record(struct.pack("<Bd", 0x09, now) + _message(3, b"brain.Event:2")))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write values of one step."""
        self._summary(step, {tag: struct.pack("<Bf", 0x15, value) for tag, value in scalars.items()})

    def add_picture(self, step: int, name: str, png: bytes, size_px: tuple[int, int]) -> None:
        """Write an RGB picture of one step, `size_px` its width and height."""
        width, height = (_varint(length) for length in size_px)
        image = b"\x08" + height + b"\x10" + width + b"\x18\x03" + _message(4, png)
        self._summary(step, {name: _message(4, image)})

    def _summary(self, step: int, values: Mapping[str, bytes]) -> None:
        body = b"".join(_message(1, _message(1, tag.encode()) + value) for tag, value in values.items())
        head = struct.pack("<Bd", 0x09, time.time()) + b"\x10" + _varint(step)
        self._write(record(head + _message(5, body)))

    def _write(self, data: bytes) -> None:
        # Opened each time: a scalar every few seconds, and nothing to close when a run ends by an error.
        with storage_errors(str(self._path)):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as stream:
                stream.write(data)
