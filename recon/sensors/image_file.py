"""Images as bytes: complete or refused.

OpenCV silently fills the missing part of a truncated file with grey. Therefore the container is read to its end marker
(and, in a PNG, every checksum is compared) before the pixels are decoded. Orientation tags are ignored, because K
belongs to the sensor.
"""

from __future__ import annotations

import re
import zlib

import cv2
import numpy as np
import numpy.typing as npt

from recon.arrays import U8
from recon.classes import CLASS_COUNT
from recon.errors import ImageInvalid

MOST_PIXELS = 64_000_000  # no camera on a vehicle has more; a file of 400 kB can decode to 1.2 GB
SMALLER = "Scale the images and the camera matrix down."

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Inside a scan FF00 is a stuffed byte, FFD0..FFD7 restart it and FFFF is padding; any other marker ends it.
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_PROBE = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION


def too_large(width_px: int, height_px: int) -> str:
    """Return what is wrong with the size of an image, "" if nothing is."""
    if width_px * height_px <= MOST_PIXELS:
        return ""
    return f"images of {width_px} x {height_px} px are too large, at most {MOST_PIXELS // 1_000_000} million pixels fit"


def image_size(data: bytes, *, where: str) -> tuple[int, int]:
    """Return width and height of a complete PNG or JPEG; ImageInvalid for a truncated, damaged or other file."""
    try:
        if data.startswith(_PNG):
            return _png_size(data)
        if data.startswith(_JPEG):
            return _jpeg_size(data)
    except IndexError as error:
        raise ImageInvalid("the image is truncated", where=where, hint="Copy the file again.") from error
    except ValueError as error:
        raise ImageInvalid(f"the image is damaged: {error}", where=where, hint="Copy the file again.") from error
    raise ImageInvalid("the image is neither PNG nor JPEG", where=where, hint="Convert the images to PNG or JPEG.")


def _need(data: bytes, start: int, count: int) -> bytes:
    if start + count > len(data):
        raise IndexError(start)
    return data[start : start + count]


def _png_size(data: bytes) -> tuple[int, int]:
    at, size = len(_PNG), None
    while True:
        length = int.from_bytes(_need(data, at, 4), "big")
        body = _need(data, at + 4, 4 + length)
        if zlib.crc32(body) != int.from_bytes(_need(data, at + 8 + length, 4), "big"):
            raise ValueError(f"wrong checksum at byte {at}")
        if body[:4] == b"IHDR" and length == 13:
            size = int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big")
        if size is None:
            raise ValueError("no header")
        if body[:4] == b"IEND":
            return size
        at += 12 + length


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at, size = 2, None
    while True:
        if _need(data, at, 1) != b"\xff":
            raise ValueError(f"no marker at byte {at}")
        marker = _need(data, at + 1, 1)[0]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == 0xD9:
            if size is None:
                raise ValueError("no header")
            return size
        length = int.from_bytes(_need(data, at + 2, 2), "big")
        body = _need(data, at + 4, max(length - 2, 0))
        if marker in _JPEG_FRAME_MARKERS:
            size = int.from_bytes(_need(body, 3, 2), "big"), int.from_bytes(_need(body, 1, 2), "big")
        at += 2 + max(length, 2)
        if marker == 0xDA:
            end = _SCAN_END.search(data, at)
            if end is None:
                raise IndexError(at)
            at = end.start()


def _decode(data: bytes, flags: int, *, where: str) -> npt.NDArray[np.generic]:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise ImageInvalid("the image does not decode", where=where, hint="Copy the file again.") from error
    if pixels is None:
        raise ImageInvalid("the image does not decode", where=where, hint="Copy the file again.")
    result: npt.NDArray[np.generic] = pixels
    return result


def check_image(data: bytes, *, width_px: int, height_px: int, where: str) -> None:
    """Raise ImageInvalid unless `data` is a complete image of that size whose pixels decode."""
    _check_size(data, width_px=width_px, height_px=height_px, where=where)
    _decode(data, _PROBE, where=where)


def _check_size(data: bytes, *, width_px: int, height_px: int, where: str) -> None:
    # The size is compared before decoding, so that a forged header cannot claim gigabytes, nor a true one take them.
    if fault := too_large(width_px, height_px):
        raise ImageInvalid(fault, where=where, hint=SMALLER)
    width, height = image_size(data, where=where)
    if (width, height) != (width_px, height_px):
        message = f"the image has {width} x {height} px, its camera {width_px} x {height_px} px"
        raise ImageInvalid(message, where=where, hint="Calibrate for the images as they are stored.")


def decode_rgb(data: bytes, *, width_px: int, height_px: int, where: str) -> U8:
    """Return (H, W, 3) RGB of a complete image of that size; ImageInvalid otherwise."""
    _check_size(data, width_px=width_px, height_px=height_px, where=where)
    return cv2.cvtColor(_decode(data, _COLOR, where=where), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)  # type: ignore[arg-type]


def decode_gray(data: bytes, *, width_px: int, height_px: int, where: str) -> U8:
    """Return (H, W) u8 of a complete 8-bit one-channel PNG of that size; ImageInvalid otherwise."""
    if data.startswith(_JPEG):
        message = "the image is a JPEG, which invents values at every edge"
        raise ImageInvalid(message, where=where, hint="Write ids and masks as PNG, which keeps every pixel.")
    _check_size(data, width_px=width_px, height_px=height_px, where=where)
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, where=where)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        message = f"expected one 8-bit channel, found {pixels.dtype} {pixels.shape}"
        raise ImageInvalid(message, where=where, hint="Write an 8-bit grey PNG; palettes and colours carry no ids.")
    return pixels.astype(np.uint8, copy=False)


def decode_ids(data: bytes, *, width_px: int, height_px: int, where: str) -> U8:
    """Return (H, W) u8 RoadClass ids; ImageInvalid also for an id beyond RoadClass."""
    ids = decode_gray(data, width_px=width_px, height_px=height_px, where=where)
    if int(ids.max()) >= CLASS_COUNT:
        unknown = np.unique(ids[ids >= CLASS_COUNT])[:8].tolist()
        hint = f"Ids run from 0 to {CLASS_COUNT - 1}; map your model's ids to RoadClass first."
        raise ImageInvalid(f"the image holds unknown class ids {unknown}", where=where, hint=hint)
    return ids
