"""What was mended or built into the asphalt of a street, in its road coordinates."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64


def repairs(rng: np.random.Generator, right_m: float, left_m: float, ends: tuple[float, float]) -> F64:
    """Return patches (N, 5) between two kerbs: s0, s1, t0, t1, brightness."""
    count = max(1, int((ends[1] - ends[0]) / rng.choice([8.0, 14.0, 40.0])))
    s0 = rng.uniform(ends[0], ends[1], count)
    t0 = rng.uniform(right_m, left_m - 1.0, count)
    along = rng.choice([1.2, 2.5, 6.0, 18.0], count) * rng.uniform(0.7, 1.3, count)
    across = np.where(along > 10.0, rng.uniform(0.5, 0.8, count), rng.uniform(0.8, 2.6, count))
    shade = rng.choice([0.62, 0.75, 1.2], count) * rng.uniform(0.92, 1.08, count)
    return np.stack([s0, s0 + along, t0, np.minimum(t0 + across, left_m), shade], axis=-1)


def manholes(rng: np.random.Generator, right_m: float, left_m: float, ends: tuple[float, float]) -> F64:
    """Return covers (N, 3) between two kerbs: s, t, radius."""
    s = np.arange(ends[0], ends[1], 31.0)
    s = s + rng.uniform(0.0, 12.0, len(s))
    t = rng.uniform(right_m + 0.6, left_m - 0.6, len(s))
    return np.stack([s, t, np.full(len(s), 0.33)], axis=-1)
