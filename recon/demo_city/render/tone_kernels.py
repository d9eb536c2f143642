"""Numba kernels that turn linear light into the bytes of an image."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recon.demo_city.noise_kernels import hash01
from recon.demo_city.numba_options import KERNEL


@njit(**KERNEL)
def _tone_curve(gain):
    """Return the encoded 0..1 value of radiance (i / 1024) ** 2."""
    curve = np.empty(2049)
    for i in range(2049):
        v = (i / 1024.0) ** 2 * gain
        # A soft shoulder keeps sunlit paint and sky below white; then the usual display gamma.
        v = v * (1.0 + v / 6.0) / (1.0 + v)
        curve[i] = min(v * 1.25, 1.0) ** (1.0 / 2.2)
    return curve


@njit(**KERNEL, nogil=True)
def expose(light, optics, counter):
    """Return the encoded image (H, W, 3) u8 of linear light."""
    height, width, _ = light.shape
    rgb = np.empty((height, width, 3), np.uint8)
    scale = 255.0 * math.exp(optics.exposure)
    curve = _tone_curve(optics.gain)
    for v in range(height):
        for u in range(width):
            a = (u + 0.5) / width - 0.5
            b = (v + 0.5) / height - 0.5
            fall = 1.0 - optics.vignette * 2.0 * (a * a + b * b)
            for band in range(3):
                value = light[v, u, band] * fall
                value = scale * curve[min(int(math.sqrt(max(value, 0.0)) * 1024.0 + 0.5), 2048)]
                # The sum of three uniform bytes is close to normal: standard deviation one half.
                draw = int(hash01((v * width + u) * 3 + band, counter, 1) * 16777216.0)
                spread = ((draw & 255) + ((draw >> 8) & 255) + (draw >> 16)) / 255.0 - 1.5
                rgb[v, u, band] = int(min(max(value + 2.0 * optics.noise * spread + 0.5, 0.0), 255.0))
    return rgb
