"""Numba kernel of `recon.fit.observe`: adds the evidence of one image to the cells in front of it."""

from __future__ import annotations

import numpy as np
from numba import njit

from recon.classes import RoadClass

PLACES = 4  # last places of cameras that a cell remembers: a rig shows it from no more at once
APART_SHARE = 0.1  # of the distance to a cell that a camera must move for another look: 6 degrees of parallax
APART_M = 0.5  # and at least that: cameras on one bar share a look
LEAST_FALL_M = 0.2  # of a ray from the camera to the ground: lower cameras do not exist


@njit(cache=True, inline="always")
def _is_new(places, camera_m, apart_m):
    """Return whether a camera is away from all places (PLACES, 3)."""
    for k in range(places.shape[0]):
        dx, dy, dz = camera_m[0] - places[k, 0], camera_m[1] - places[k, 1], camera_m[2] - places[k, 2]
        if dx * dx + dy * dy + dz * dz < apart_m * apart_m:
            return False
    return True


@njit(cache=True)
def accumulate(
    ids,
    x,
    y,
    z,
    camera_from_world,
    k,
    labels,
    confidence,
    runner_up,
    runner_up_confidence,
    rgb,
    max_distance_m,
    camera_m,
    share,
    places,
    views,
    nearest,
    weight,
    color,
    votes,
    lean,
):
    """Add one image's evidence to the cells `ids` with centres x, y, z (M,); return how many were seen.

    A cell is seen when its centre falls on a pixel whose class is known, between 1 m and `max_distance_m` away.
    `views` (N,) grows where the camera, at `camera_m` (3,), is away from the last PLACES places from which the cell was
    counted, `places` (N, PLACES, 3). `color` (N, 3), `votes` (N, CLASS_COUNT) and `lean` (N, 2) are sums with weights
    `share` f_x f_y h / d^3, the pixels per square metre of ground. The image has the same weight in the fit. A ray
    leans by its horizontal way over its fall: so far aside lies what it shows, for each metre of a wrong height.
    """
    height, width = labels.shape
    m = camera_from_world
    seen = 0
    for j in range(ids.shape[0]):
        i = ids[j]
        cx = m[0, 0] * x[j] + m[0, 1] * y[j] + m[0, 2] * z[j] + m[0, 3]
        cy = m[1, 0] * x[j] + m[1, 1] * y[j] + m[1, 2] * z[j] + m[1, 3]
        cz = m[2, 0] * x[j] + m[2, 1] * y[j] + m[2, 2] * z[j] + m[2, 3]
        distance = (cx * cx + cy * cy + cz * cz) ** 0.5
        if cz < 0.2 or distance < 1.0 or distance > max_distance_m:
            continue
        u = k[0, 0] * cx / cz + k[0, 1] * cy / cz + k[0, 2]
        v = k[1, 1] * cy / cz + k[1, 2]
        if u < 0.0 or v < 0.0 or u >= width or v >= height:
            continue
        label = labels[int(v), int(u)]
        if label == RoadClass.UNKNOWN:
            continue
        seen += 1
        if views[i] < 65535 and _is_new(places[i], camera_m, max(APART_M, APART_SHARE * distance)):
            places[i, views[i] % PLACES] = camera_m
            views[i] += 1
        nearest[i] = min(nearest[i], distance)
        w = share * k[0, 0] * k[1, 1] * abs(cy) / (distance * distance * distance)
        first = confidence[int(v), int(u)] / 255.0
        second_label = runner_up[int(v), int(u)]
        second = runner_up_confidence[int(v), int(u)] / 255.0 if second_label != RoadClass.UNKNOWN else 0.0
        weight[i] += w
        fall = max(camera_m[2] - z[j], LEAST_FALL_M)
        lean[i, 0] += w * (x[j] - camera_m[0]) / fall
        lean[i, 1] += w * (y[j] - camera_m[1]) / fall
        # Third and later classes are left out: what two classes do not cover is split between them.
        votes[i, label] += w * first / (first + second + 1e-9)
        if second > 0.0:
            votes[i, second_label] += w * second / (first + second)
        u0 = min(max(u - 0.5, 0.0), width - 1.001)
        v0 = min(max(v - 0.5, 0.0), height - 1.001)
        left, top = int(u0), int(v0)
        fu, fv = u0 - left, v0 - top
        for c in range(3):
            upper = (1 - fu) * rgb[top, left, c] + fu * rgb[top, left + 1, c]
            lower = (1 - fu) * rgb[top + 1, left, c] + fu * rgb[top + 1, left + 1, c]
            color[i, c] += w * (((1 - fv) * upper + fv * lower) / 255.0)
    return seen


@njit(cache=True)
def in_view(x, y, z, camera_from_world, width, height, k, margin_px, max_distance_m):
    """Return (M,) bool: which points fall into the image (with a margin) within reach."""
    inside = np.zeros(x.shape[0], np.bool_)
    m = camera_from_world
    for j in range(x.shape[0]):
        cx = m[0, 0] * x[j] + m[0, 1] * y[j] + m[0, 2] * z[j] + m[0, 3]
        cy = m[1, 0] * x[j] + m[1, 1] * y[j] + m[1, 2] * z[j] + m[1, 3]
        cz = m[2, 0] * x[j] + m[2, 1] * y[j] + m[2, 2] * z[j] + m[2, 3]
        if cz < 0.2 or cx * cx + cy * cy + cz * cz > max_distance_m * max_distance_m:
            continue
        u = k[0, 0] * cx / cz + k[0, 1] * cy / cz + k[0, 2]
        v = k[1, 1] * cy / cz + k[1, 2]
        inside[j] = -margin_px < u < width + margin_px and -margin_px < v < height + margin_px
    return inside
