"""Counter-based randomness: the same coordinates and seed give the same value on any thread, in any order."""

from __future__ import annotations

import math

from numba import njit

from recon.demo_city.numba_options import POINT


@njit(**POINT, inline="always")
def hash01(a, b, c):
    """Return a uniform value in [0, 1) of three integers."""
    # int64 throughout: numba would turn a mix of signed and unsigned 64-bit integers into floats.
    h = (a * 374761393 + b * 668265263 + c * 2246822519 + 3266489917) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@njit(**POINT)
def value_noise(x, y, seed):
    """Return smooth noise in 0..1 with one lattice point per unit."""
    fx = math.floor(x)
    fy = math.floor(y)
    ix = int(fx)
    iy = int(fy)
    u = x - fx
    v = y - fy
    u = u * u * (3.0 - 2.0 * u)
    v = v * v * (3.0 - 2.0 * v)
    low = hash01(ix, iy, seed) * (1.0 - u) + hash01(ix + 1, iy, seed) * u
    high = hash01(ix, iy + 1, seed) * (1.0 - u) + hash01(ix + 1, iy + 1, seed) * u
    return low * (1.0 - v) + high * v


@njit(**POINT)
def fractal_noise(x, y, seed):
    """Return three octaves of value noise in 0..1."""
    return (
        value_noise(x, y, seed) * 0.55
        + value_noise(x * 2.1 + 7.3, y * 2.1, seed + 1) * 0.3
        + value_noise(x * 4.3, y * 4.3 + 3.1, seed + 2) * 0.15
    )


@njit(**POINT, inline="always")
def smooth_step(low, high, x):
    """Return the cubic ramp from 0 at `low` to 1 at `high`."""
    u = min(max((x - low) / (high - low), 0.0), 1.0)
    return u * u * (3.0 - 2.0 * u)


@njit(**POINT, forceinline=True)
def bilinear(values, raster, x, y):
    """Return a raster's value at a world point; samples lie at the cells' lower left corners, edges are clamped."""
    west, south, cell = raster
    u = min(max((x - west) / cell, 0.0), values.shape[1] - 1.001)
    v = min(max((y - south) / cell, 0.0), values.shape[0] - 1.001)
    c = int(u)
    r = int(v)
    u -= c
    v -= r
    low = values[r, c] * (1.0 - u) + values[r, c + 1] * u
    high = values[r + 1, c] * (1.0 - u) + values[r + 1, c + 1] * u
    return low * (1.0 - v) + high * v
