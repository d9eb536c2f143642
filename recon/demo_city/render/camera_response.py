"""From linear light to the bytes of an image: lens blur, bloom, vignetting, exposure, tone curve, sensor noise."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from recon.arrays import F32, U8
from recon.demo_city.render.optics import Optics
from recon.demo_city.render.tone_kernels import expose


def camera_response(linear: F32, optics: Optics, counter: int) -> U8:
    """Return the image (H, W, 3) u8 RGB of linear light; noise is counted per pixel from `counter`."""
    light: Any = linear
    if optics.bloom > 0.0:
        small = cv2.resize(light, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
        bright = np.maximum(small - 0.8, 0.0)
        spread = cv2.GaussianBlur(bright, (0, 0), 0.011 * light.shape[1] * 0.25)
        spread += 0.35 * cv2.GaussianBlur(bright, (0, 0), 0.04 * light.shape[1] * 0.25)
        light = light + optics.bloom * cv2.resize(spread, light.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if optics.blur_px > 0.15:
        light = cv2.GaussianBlur(light, (0, 0), optics.blur_px)
    if optics.smear_px > 1.0:
        light = cv2.filter2D(light, -1, _smear(optics.smear_px))
    image: U8 = expose(np.ascontiguousarray(light, dtype=np.float32), optics, counter)
    return image


def _smear(length_px: float) -> F32:
    half = math.ceil((length_px - 1.0) / 2)
    kernel = np.ones((1, 2 * half + 1), dtype=np.float32)
    kernel[0, 0] = kernel[0, -1] = (length_px - (2 * half - 1)) / 2
    kernel /= kernel.sum()
    return kernel
