"""The sides of the road near a line of paint: whether it runs along the road or across it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import C128, F64
from vectorize import polyline

NEAR_M = 5.0  # sides this near show the direction of the road: the far kerb of most crossing streets is farther
ALONG_DEG = 45.0  # between a line and that direction: half a right angle
SLOPE = 0.5  # change of distance per metre: more, and the line runs towards the side
STEP_M = 0.25  # between sample points of the line
NO_DIRECTION = 1e-6  # of summed directions that cancel each other out


@dataclass(frozen=True, slots=True, eq=False)
class RoadSides:
    """The edges of the road, as dense lines (N, 2) in world metres."""

    lines: Sequence[F64]
    _doubled: C128  # (N,) direction of every point, its angle doubled: both ways are one
    _tree: cKDTree

    @classmethod
    def of(cls, lines: Sequence[F64]) -> RoadSides:
        """Return the sides of a road; there may be none."""
        points = np.concatenate([np.zeros((0, 2)), *lines])
        tangents = np.concatenate([np.zeros((0, 2)), *(polyline.tangents(line) for line in lines)])
        return cls(lines, polyline.doubled(tangents), cKDTree(points))

    def beside(self, line: F64) -> float | None:
        """Return how far a line (N, 2) lies from the sides at most, in metres, or None if it does not run along one."""
        if not self._tree.n:
            return None
        places = polyline.resample(line, STEP_M)
        away = np.asarray(self._tree.query(places)[0])
        # A line along a side keeps its distance; at a skew corner the kerbs around point every way.
        if away.min() > NEAR_M or np.abs(np.diff(away)).mean() > SLOPE * STEP_M:
            return None
        near = np.unique(np.concatenate(self._tree.query_ball_point(places, NEAR_M)).astype(np.int64))
        field, own = self._doubled[near].sum(), polyline.doubled(line[-1:] - line[:1])[0]
        if abs(field) < NO_DIRECTION or abs(np.angle(own / field)) / 2 > np.radians(ALONG_DEG):
            return None
        return float(away.max())
