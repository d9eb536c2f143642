"""Numba kernels of the plane sweep: the contrast of one image at each place for a range of ground heights."""

from __future__ import annotations

import numpy as np
from numba import njit

LEAST_DEPTH_M = 0.2
LEAST_ABOVE_M = 0.3  # of the camera over a place
LEAST_SHARE = 0.3  # of the window around a place that must be seen for its mean light
SHARPEST_M = 3.0  # nearer views are not sharper: their place takes a halved image


@njit(cache=True, inline="always")
def _pixel(cx, cy, cz, m, k, dz):
    """Return u, v and depth of a camera point that is lifted by dz along the world's vertical."""
    depth = cz + m[2, 2] * dz
    if depth < LEAST_DEPTH_M:
        return -1.0, -1.0, depth
    py = cy + m[1, 2] * dz
    return (k[0, 0] * (cx + m[0, 2] * dz) + k[0, 1] * py) / depth + k[0, 2], k[1, 1] * py / depth + k[1, 2], depth


@njit(cache=True)
def _in_view(x, y, z, reach_m, m, k, width, height, near_m, far_m, spacing_m, deepest, chosen, point, halving, w):
    """Fill `chosen` with the places that may be seen at some height, their camera point, halving and weight."""
    focal = (k[0, 0] * k[1, 1]) ** 0.5
    camera_z = -(m[0, 2] * m[0, 3] + m[1, 2] * m[1, 3] + m[2, 2] * m[2, 3])
    found = 0
    for i in range(x.shape[0]):
        cx = m[0, 0] * x[i] + m[0, 1] * y[i] + m[0, 2] * z[i] + m[0, 3]
        cy = m[1, 0] * x[i] + m[1, 1] * y[i] + m[1, 2] * z[i] + m[1, 3]
        cz = m[2, 0] * x[i] + m[2, 1] * y[i] + m[2, 2] * z[i] + m[2, 3]
        distance = (cx * cx + cy * cy + cz * cz) ** 0.5
        above = camera_z - z[i]
        if cz < LEAST_DEPTH_M or distance < near_m or distance > far_m or above < LEAST_ABOVE_M:
            continue
        seen = False
        for share in range(-1, 2):
            u, v, _ = _pixel(cx, cy, cz, m, k, share * reach_m[i])
            seen = seen or (0.5 <= u < width - 0.5 and 0.5 <= v < height - 0.5)
        if not seen:
            continue
        # A pixel covers d / f of ground across the ray and d / f * d / h along it: this is the mean of both.
        footprint_m = distance * (distance / above) ** 0.5 / focal
        level = int(np.floor(np.log2(max(spacing_m / footprint_m, 1.0)) + 0.25))
        chosen[found] = i
        point[found, 0], point[found, 1], point[found, 2] = cx, cy, cz
        halving[found] = min(level, deepest)
        w[found] = 1.0 / max(distance, SHARPEST_M)
        found += 1
    return found


@njit(cache=True, inline="always")
def _light_at(u, v, width, height, light, start):
    """Return the light at a pixel in one halving of the image, bilinear."""
    wide, high = start[1], start[2]
    a = min(max(u * wide / width - 0.5, 0.0), wide - 1.001)
    b = min(max(v * high / height - 0.5, 0.0), high - 1.001)
    left, top = int(a), int(b)
    fu, fv = a - left, b - top
    at = start[0] + top * wide + left
    upper = (1 - fu) * light[at] + fu * light[at + 1]
    lower = (1 - fu) * light[at + wide] + fu * light[at + wide + 1]
    return (1 - fv) * upper + fv * lower


@njit(cache=True)
def _window_sums(value, valid, sums, counts):
    """Fill the summed areas (R + 1, C + 1) of values and valid places (R, C)."""
    for r in range(value.shape[0]):
        along, number = 0.0, 0.0
        for c in range(value.shape[1]):
            along += value[r, c]
            number += valid[r, c]
            sums[r + 1, c + 1] = sums[r, c + 1] + along
            counts[r + 1, c + 1] = counts[r, c + 1] + number


@njit(cache=True, inline="always")
def _of_window(sums, r, c, radius):
    """Return the sum over the window around a place."""
    top, left = max(r - radius, 0), max(c - radius, 0)
    bottom, right = min(r + radius + 1, sums.shape[0] - 1), min(c + radius + 1, sums.shape[1] - 1)
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


@njit(cache=True)
def sweep(places, image, lifts_m, limits, votes, weight, weight2, total, square):
    """Add one image's contrast at the places of `places`, lifted by `lifts_m` (K,).

    `places` holds row, column, x, y, z and reach_m, each (M,); `image` holds camera_from_world (4, 4), k (3, 3), kinds
    (H, W), light and starts; `limits` holds spacing_m, near_m, far_m and the window's radius in places.

    `light` holds the image and its halvings one after another, and `starts` (L, 3) where each begins, its width and its
    height. A place takes the halving whose pixel covers about `spacing_m` of ground there, because near images show
    grain that far ones cannot. Contrast is the light less its mean over the window around the place: exposure,
    vignetting and shine change slowly over the ground.

    A level counts where `kinds` is not 0 at its pixel and |lift| <= reach_m. `weight`, `weight2`, `total` and `square`
    (M, K) accumulate w, w^2, w c and w c^2. `votes` (M, kinds) accumulates w for the kind at lift 0.
    """
    row, column, x, y, z, reach_m = places
    m, k, kinds, light, starts = image
    spacing_m, near_m, far_m, radius = limits
    height, width = kinds.shape
    count = x.shape[0]
    chosen, halving, w = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count)
    point = np.empty((count, 3))
    size = (width, height, near_m, far_m, spacing_m, starts.shape[0] - 1)
    found = _in_view(x, y, z, reach_m, m, k, *size, chosen, point, halving, w)
    if found == 0:
        return
    top, left = row[chosen[:found]].min(), column[chosen[:found]].min()
    rows, columns = row[chosen[:found]].max() - top + 1, column[chosen[:found]].max() - left + 1
    sums, counts = np.zeros((rows + 1, columns + 1)), np.zeros((rows + 1, columns + 1))
    enough = LEAST_SHARE * (2 * radius + 1) ** 2
    for j in range(lifts_m.shape[0]):
        value, valid = np.zeros((rows, columns)), np.zeros((rows, columns))
        for a in range(found):
            i = chosen[a]
            if abs(lifts_m[j]) > reach_m[i] + 1e-9:
                continue
            u, v, _ = _pixel(point[a, 0], point[a, 1], point[a, 2], m, k, lifts_m[j])
            if u < 0.5 or v < 0.5 or u >= width - 0.5 or v >= height - 0.5 or kinds[int(v), int(u)] == 0:
                continue
            value[row[i] - top, column[i] - left] = _light_at(u, v, width, height, light, starts[halving[a]])
            valid[row[i] - top, column[i] - left] = 1.0
            if lifts_m[j] == 0.0:
                votes[i, kinds[int(v), int(u)]] += w[a]
        _window_sums(value, valid, sums, counts)
        for a in range(found):
            i = chosen[a]
            r, c = row[i] - top, column[i] - left
            number = _of_window(counts, r, c, radius)
            if valid[r, c] == 0.0 or number < enough:
                continue
            contrast = value[r, c] - _of_window(sums, r, c, radius) / number
            weight[i, j] += w[a]
            weight2[i, j] += w[a] * w[a]
            total[i, j] += w[a] * contrast
            square[i, j] += w[a] * contrast * contrast
