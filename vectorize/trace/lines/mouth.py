"""Mouths of side streets beside a line: there paint ends by rule, and a hole in a row is no wear."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, Bool
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
        way = gap[-1] - gap[0]  # the vertices of a dash may run either way: its left is that of the gap
        dashes = [self._room(dash if (dash[-1] - dash[0]) @ way > 0 else dash[::-1]) for dash in (before, after)]
        # A ray that ends at unseen ground, a speck behind a vehicle, does not show the side of the road.
        room, shown = (np.concatenate(parts, axis=1) for parts in zip(*dashes, strict=True))
        usual = np.array(
            [np.median(far[seen]) if seen.any() else FARTHEST_M for far, seen in zip(room, shown, strict=True)]
        )
        wide = round(self._config.mouth_m / STEP_M)
        opens = self._room(gap)[0] > (usual + self._config.mouth_deep_m)[:, None]
        return any(b - a >= wide for side in opens for a, b in polyline.runs(side))

    def _room(self, line: F64) -> tuple[F64, Bool]:
        """Return (2, N) how far the road reaches left and right along a line, and whether its side was seen."""
        line = polyline.resample(line, STEP_M)
        normal = polyline.left_normals(polyline.tangents(line))
        away = np.arange(STEP_M, FARTHEST_M, STEP_M)[:, None]
        rays = np.stack([line[:, None] + sign * away * normal[:, None] for sign in (1.0, -1.0)])
        known = self._evidence.is_known(rays)
        road = known & (self._evidence.sample(self._evidence.drivable, rays) > LEVEL)
        steps = np.logical_and.accumulate(road, axis=2).sum(axis=2)
        last = np.minimum(steps, len(away) - 1)
        shown = np.take_along_axis(known & ~road, last[..., None], axis=2)[..., 0]
        return STEP_M * steps, shown
