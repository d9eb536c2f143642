"""Mouths of side streets beside a line: there paint ends by rule, and a hole in a row is no wear."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace_config import RowConfig

STEP_M = 0.5  # along the line and across the road
FARTHEST_M = 30.0  # from the line to the side of the road where that is searched
LEVEL = 0.5  # of drivable probability at the side of the road


class Mouths:
    """Where the road opens beside a line, as its drivable cells show it."""

    def __init__(self, evidence: Evidence, config: RowConfig) -> None:
        self._evidence, self._config = evidence, config

    def between(self, before: F64, gap: F64, after: F64) -> bool:
        """Return whether a side street opens beside a gap (N, 2), compared with the dashes before and after it.

        Its ground must have been seen: what is hidden beside the road is no mouth.
        """
        usual = np.maximum(*(self._room(dash).min(axis=1) for dash in (before, after)))
        wide = round(self._config.mouth_m / STEP_M)
        opens = self._room(gap) > (usual + self._config.mouth_deep_m)[:, None]
        return any(b - a >= wide for side in opens for a, b in polyline.runs(side))

    def _room(self, line: F64) -> F64:
        """Return (2, N) how far the road reaches to the left and right of points along a line, in metres."""
        line = polyline.resample(line, STEP_M)
        normal = polyline.left_normals(polyline.tangents(line))
        away = np.arange(STEP_M, FARTHEST_M, STEP_M)[:, None]
        rays = np.stack([line[:, None] + sign * away * normal[:, None] for sign in (1.0, -1.0)])
        road = self._evidence.is_known(rays) & (self._evidence.sample(self._evidence.drivable, rays) > LEVEL)
        result: F64 = STEP_M * np.logical_and.accumulate(road, axis=2).sum(axis=2)
        return result
