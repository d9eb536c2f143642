"""Images are complete or refused: OpenCV alone would fill what is missing."""

from __future__ import annotations

import resource
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.errors import ImageInvalid
from recon.sensors.image_file import check_image, decode_gray, decode_ids, decode_rgb, image_size

PIXELS = np.random.default_rng(1).integers(0, 255, (24, 32, 3), dtype=np.uint8)
SIZE = {"width_px": 32, "height_px": 24}


def encoded(suffix: str, pixels: np.ndarray = PIXELS, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, list(options))[1].tobytes()


FILES = {
    "png": encoded(".png"),
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", PIXELS, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpeg with restarts": encoded(".jpg", PIXELS, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
}


@pytest.mark.parametrize("name", FILES)
def test_whole_files_have_their_size(name: str) -> None:
    assert image_size(FILES[name], where="x") == (32, 24)
    check_image(FILES[name], **SIZE, where="x")


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_found(name: str) -> None:
    data = FILES[name]
    for length in range(len(data)):
        with pytest.raises(ImageInvalid):
            check_image(data[:length], **SIZE, where="x")


def test_png_bit_flip_is_found() -> None:
    data = FILES["png"]
    for at in range(8, len(data), 7):
        broken = data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
        with pytest.raises(ImageInvalid):
            check_image(broken, **SIZE, where="x")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=6)), max_size=4))
def test_mutations_raise_nothing_but_image_invalid(name: str, changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(FILES[name])
    for at, patch in changes:
        data[at : at + len(patch)] = patch
    with suppress(ImageInvalid):
        assert decode_rgb(bytes(data), **SIZE, where="x").shape == (24, 32, 3)


def test_colours_come_as_rgb() -> None:
    red = np.zeros((24, 32, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    assert decode_rgb(encoded(".png", red), **SIZE, where="x")[0, 0].tolist() == [200, 0, 0]


def test_orientation_tags_are_ignored() -> None:
    # An APP1 segment that says "rotate by 90 degrees": K belongs to the sensor's own rows and columns.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = FILES["jpeg"]
    tagged = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert np.array_equal(decode_rgb(tagged, **SIZE, where="x"), decode_rgb(data, **SIZE, where="x"))


def test_other_size_is_refused_before_decoding() -> None:
    with pytest.raises(ImageInvalid, match=r"32 x 24 px, its camera 64 x 48"):
        check_image(FILES["png"], width_px=64, height_px=48, where="frame 3, a.png")


def test_ids_must_be_known_and_grey() -> None:
    ids = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32) % 9
    assert np.array_equal(decode_ids(encoded(".png", ids), **SIZE, where="x"), ids)
    with pytest.raises(ImageInvalid, match=r"unknown class ids \[9\]"):
        decode_ids(encoded(".png", ids + 1), **SIZE, where="x")
    with pytest.raises(ImageInvalid, match="one 8-bit channel"):
        decode_ids(FILES["png"], **SIZE, where="x")
    with pytest.raises(ImageInvalid, match="one 8-bit channel"):
        decode_gray(encoded(".png", ids.astype(np.uint16)), **SIZE, where="x")


def test_ids_and_masks_are_no_jpegs_which_invent_values_at_edges() -> None:
    ids = np.where(np.add.outer(np.arange(24), np.arange(32)) < 27, 1, 5).astype(np.uint8)
    jpeg = encoded(".jpg", ids, cv2.IMWRITE_JPEG_QUALITY, 95)
    invented = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(invented).tolist()) - {1, 5}
    for decode in (decode_ids, decode_gray):
        with pytest.raises(ImageInvalid, match="a JPEG"):
            decode(jpeg, **SIZE, where="x")


def test_other_formats_are_named() -> None:
    with pytest.raises(ImageInvalid, match="neither PNG nor JPEG"):
        image_size(b"GIF89a", where="x")


def test_an_image_of_too_many_pixels_is_not_decoded() -> None:
    head = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = b"IDAT" + zlib.compress(bytes(20_000 * 2_501), 9)
    chunks = b"".join(
        (len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
        for part in (head, rows, b"IEND")
    )
    data = b"\x89PNG\r\n\x1a\n" + chunks
    assert image_size(data, where="x") == (20_000, 20_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for decode in (check_image, decode_gray, decode_ids, decode_rgb):
        with pytest.raises(ImageInvalid, match="20000 x 20000 px are too large, at most 64 million pixels"):
            decode(data, width_px=20_000, height_px=20_000, where="x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB; decoded it takes 400 MB
