"""Stored images as the input of a model: decoded, shrunk with their aspect kept, padded."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import U8
from recon.errors import ImageInvalid
from recon.segment.net_frame import NetFrame, Size, scale_of
from recon.sensors.image_file import image_size

# JPEG decoders give images of a half, a quarter or an eighth at a fraction of the time.
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def net_image(data: bytes, *, recorded_px: Size, net_px: Size, where: str) -> U8:
    """Return an encoded image as RGB (H, W, 3) of the input; ImageInvalid if it is damaged or of another size."""
    if image_size(data, where=where) != recorded_px:
        message = f"the image is not of the {recorded_px[0]} x {recorded_px[1]} px that the sample states"
        raise ImageInvalid(message, where=where, hint="Pack the labels again.")
    factor = scale_of(recorded_px, net_px)
    flag = next((f for part, f in _REDUCED if factor * part <= 1.0 and _divides(recorded_px, part)), cv2.IMREAD_COLOR)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ImageInvalid("the image does not decode", where=where, hint="Pack the labels again.")
    return NetFrame.of((pixels.shape[1], pixels.shape[0]), net_px).to_net(rgb_of(pixels))


def rgb_of(bgr: object) -> U8:
    """Return an image of OpenCV with its channels in the other order."""
    return np.asarray(cv2.cvtColor(np.asarray(bgr), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _divides(size_px: Size, part: int) -> bool:
    """Return whether a reduced image has the same aspect: else its frame in the input would differ by a pixel."""
    return size_px[0] % part == 0 and size_px[1] % part == 0
