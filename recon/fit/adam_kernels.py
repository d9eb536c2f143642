"""Adam on some rows of a parameter matrix: an image touches a small part of a long road."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-15


@njit(cache=True)
def update(rows, gradient, parameters, first, second, steps, rates, low, high):
    """Move `parameters` (N, C) at `rows` (M,) by `gradient` (M, C) and clamp them to `low`..`high` (C,).

    `first`, `second` (N, C) are the moments and `steps` (N,) counts each row's own updates, so that the bias
    correction of a row seen for the first time late in the run is that of a first step.
    """
    channels = parameters.shape[1]
    for j in range(rows.shape[0]):
        i = rows[j]
        steps[i] += 1
        first_scale = 1.0 / (1.0 - BETA_1 ** steps[i])
        second_scale = 1.0 / (1.0 - BETA_2 ** steps[i])
        for c in range(channels):
            g = gradient[j, c]
            first[i, c] = BETA_1 * first[i, c] + (1.0 - BETA_1) * g
            second[i, c] = BETA_2 * second[i, c] + (1.0 - BETA_2) * g * g
            move = rates[c] * first[i, c] * first_scale / (math.sqrt(second[i, c] * second_scale) + EPSILON)
            parameters[i, c] = min(max(parameters[i, c] - np.float32(move), low[c]), high[c])
