"""The sides of the road near a line of paint: whether it runs along the road or across it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recon.arrays import F64
from vectorize import polyline
from vectorize.trace.direction_field import DirectionField, between_deg

NEAR_M = 5.0  # sides this near show the direction of the road: the far kerb of most crossing streets is farther
ALONG_DEG = 45.0  # between a line and that direction: half a right angle
SLOPE = 0.5  # change of distance per metre: more, and the line runs towards the side
STEP_M = 0.25  # between sample points of the line
NO_DIRECTION = 1e-6  # of summed directions that cancel each other out


@dataclass(frozen=True, slots=True, eq=False)
class RoadSides:
    """The edges of the road, as dense lines (N, 2) in world metres."""

    lines: Sequence[F64]
    _field: DirectionField

    @classmethod
    def of(cls, lines: Sequence[F64]) -> RoadSides:
        """Return the sides of a road; there may be none."""
        return cls(lines, DirectionField.of(lines))

    def beside(self, line: F64) -> float | None:
        """Return how far a line (N, 2) lies from the sides at most, in metres, or None if it does not run along one."""
        if not self.lines:
            return None
        places = polyline.resample(line, STEP_M)
        away = np.asarray(self._field.tree.query(places)[0])
        # A line along a side keeps its distance; at a skew corner the kerbs around point every way.
        if away.min() > NEAR_M or np.abs(np.diff(away)).mean() > SLOPE * STEP_M:
            return None
        near = np.unique(np.concatenate(self._field.tree.query_ball_point(places, NEAR_M)).astype(np.int64))
        road, own = self._field.mean(near, np.ones(len(near))), polyline.doubled(line[-1:] - line[:1])[0]
        if abs(road) < NO_DIRECTION or between_deg(own, road) > ALONG_DEG:
            return None
        return float(away.max())
