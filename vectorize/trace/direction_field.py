"""The direction of lines around a place, whatever way each of them runs: that of the road, or of its lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import C128, F64, I64
from vectorize import polyline

NO_LINE = np.zeros((0, 2))  # so that sites without lines need no case of their own


@dataclass(frozen=True, slots=True, eq=False)
class DirectionField:
    """Points along lines with the direction of each, its angle doubled, so that opposite ways add up."""

    points: F64  # (N, 2) world metres
    doubled: C128  # (N,) of unit length
    owner: I64  # (N,) index of the line
    tree: cKDTree  # of the points

    @classmethod
    def of(cls, lines: Sequence[F64], *, every: int = 1) -> DirectionField:
        """Return the field of lines (N, 2), of which every so many vertices count; there may be no lines."""
        points = np.concatenate([NO_LINE, *(line[::every] for line in lines)])
        tangents = np.concatenate([NO_LINE, *(polyline.tangents(line)[::every] for line in lines)])
        owner = np.repeat(np.arange(len(lines)), [len(line[::every]) for line in lines])
        return cls(points, polyline.doubled(tangents), owner, cKDTree(points))

    def near(self, place: F64, reach_m: float) -> I64:
        """Return the indices of the points within reach of a place (2,)."""
        return np.array(self.tree.query_ball_point(place, reach_m), dtype=np.int64)

    def closeness(self, place: F64, near: I64, sigma_m: float) -> F64:
        """Return (M,) Gaussian weights of points by their distance from a place (2,)."""
        result: F64 = np.exp(-0.5 * (np.hypot(*(self.points[near] - place).T) / sigma_m) ** 2)
        return result

    def mean(self, near: I64, weight: F64) -> complex:
        """Return the weighted sum of doubled directions; its size over the weights' sum says how well they agree."""
        return complex((self.doubled[near] * weight).sum())


def between_deg(one: complex, other: complex) -> float:
    """Return the angle 0..90 degrees between two doubled directions."""
    return abs(float(np.degrees(np.angle(one / other)))) / 2
