"""The reference line of a street: a curve of smooth curvature, and road coordinates (s along, t to the left)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from recon.arrays import F64

STEP_M = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceLine:
    """A plane curve sampled every STEP_M, with the height of the road along it."""

    s: F64  # (N,) metres, increasing
    xy: F64  # (N, 2) world metres
    heading: F64  # (N,) radians, unwrapped
    z: F64  # (N,) world metres

    @classmethod
    def random(cls, rng: np.random.Generator, *, start_m: float, end_m: float) -> Self:
        """Return a curve whose curvature and grade vary smoothly, as on a road laid out with clothoids.

        s = 0 lies at the world's origin. Radii stay above about 60 m and grades below 4 %.
        """
        s = np.arange(round(start_m / STEP_M), round(end_m / STEP_M) + 1).astype(np.float64) * STEP_M
        lengths = rng.uniform((190.0, 80.0), (280.0, 120.0))
        phases = rng.uniform(0.0, 2 * np.pi, 2)
        bend = rng.uniform(0.0075, 0.0105) * rng.choice([-1.0, 1.0])
        curvature = bend * np.sin(2 * np.pi * s / lengths[0] + phases[0])
        curvature += 0.3 * bend * np.sin(2 * np.pi * s / lengths[1] + phases[1])
        at_zero = int(np.argmin(np.abs(s)))
        heading = _integral(curvature, at_zero) + rng.uniform(0.0, 2 * np.pi)
        x, y = _integral(np.cos(heading), at_zero), _integral(np.sin(heading), at_zero)
        grade = rng.uniform(-0.02, 0.02) + 0.015 * np.sin(2 * np.pi * s / rng.uniform(120, 200) + phases[1])
        return cls(s=s, xy=np.stack([x, y], axis=-1), heading=heading, z=_integral(grade, at_zero))

    @classmethod
    def through(cls, xy: F64, *, smooth_m: float = 0.0) -> Self:
        """Return the curve through points (N, 2), at height 0; `smooth_m` is the sigma of a Gaussian along it.

        ValueError if the points span less than two steps.
        """
        for sigma_m in (smooth_m, 0.0):  # smoothing shortens a line, so it is resampled once more
            length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
            if length[-1] < 2 * STEP_M:
                raise ValueError(f"the points span {length[-1]:.2f} m")
            at = np.arange(int(length[-1] / STEP_M + 1e-3) + 1) * STEP_M
            xy = np.stack([np.interp(at, length, xy[:, i]) for i in range(2)], axis=-1)
            if sigma_m:
                # Mirrored through its ends, the line keeps them.
                pad = min(len(xy) - 1, round(4 * sigma_m / STEP_M))
                before, after = 2 * xy[0] - xy[pad:0:-1], 2 * xy[-1] - xy[-2 : -pad - 2 : -1]
                smooth = gaussian_filter1d(np.concatenate([before, xy, after]), sigma_m / STEP_M, axis=0)
                xy = smooth[pad : pad + len(xy)]
        slope = np.gradient(xy, axis=0)
        heading = np.unwrap(np.arctan2(slope[:, 1], slope[:, 0]))
        return cls(s=np.arange(len(xy), dtype=np.float64) * STEP_M, xy=xy, heading=heading, z=np.zeros(len(xy)))

    def at(self, s: npt.ArrayLike, t: npt.ArrayLike = 0.0) -> F64:
        """Return world xy (..., 2) of road coordinates."""
        s, t = np.broadcast_arrays(np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64))
        heading = self.heading_at(s)
        x = np.interp(s, self.s, self.xy[:, 0]) - t * np.sin(heading)
        y = np.interp(s, self.s, self.xy[:, 1]) + t * np.cos(heading)
        return np.stack([x, y], axis=-1)

    def heading_at(self, s: npt.ArrayLike) -> F64:
        """Return headings in radians at road coordinates s."""
        return np.interp(np.asarray(s, dtype=np.float64), self.s, self.heading)

    def z_at(self, s: npt.ArrayLike) -> F64:
        """Return the height of the reference line at road coordinates s."""
        return np.interp(np.asarray(s, dtype=np.float64), self.s, self.z)

    def road_coordinates(self, xy: F64) -> tuple[F64, F64]:
        """Return (s, t) of world points (..., 2), by the foot on the nearest sample's tangent."""
        flat = xy.reshape(-1, 2)
        _, nearest = cKDTree(self.xy).query(flat)
        offset = flat - self.xy[nearest]
        cos, sin = np.cos(self.heading[nearest]), np.sin(self.heading[nearest])
        along = offset[:, 0] * cos + offset[:, 1] * sin
        # At most half a step, except beyond the ends, where the line continues straight.
        s = self.s[nearest] + along
        t = offset[:, 1] * cos - offset[:, 0] * sin
        return s.reshape(xy.shape[:-1]), t.reshape(xy.shape[:-1])


def _integral(values: F64, zero_index: int) -> F64:
    steps = 0.5 * (values[1:] + values[:-1]) * STEP_M
    total = np.concatenate([[0.0], np.cumsum(steps)])
    result: F64 = total - total[zero_index]
    return result
