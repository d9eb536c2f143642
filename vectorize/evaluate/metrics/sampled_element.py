"""Elements as a fixed number of points at equal distances along the line: the input of the distance metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F64
from vectorize import polyline
from vectorize.evaluate.config import EvaluateConfig
from vectorize.road_map import Element


@dataclass(frozen=True, slots=True, eq=False)
class SampledElement:
    """The sample points of one element, and its box."""

    line: F64  # (samples, 2) metres; a closed ring ends where it starts, as MapTR's polygons do
    low: F64  # (2,) corners of its box
    high: F64  # (2,)
    length_m: float
    closed: bool
    gentle: bool  # no turn of `line` reaches a right angle
    plane: F64  # (N, 2) all vertices

    def coarse(self, count: int) -> F64:
        """Return (count, 2) points: fewer than `line`, where many starting points are tried."""
        return _at_equal_distances(self.plane, polyline.arc_length(self.plane), count)


def _at_equal_distances(plane: F64, along: F64, count: int) -> F64:
    wanted = np.linspace(0.0, along[-1], count)
    result = np.empty((count, 2))
    result[:, 0], result[:, 1] = np.interp(wanted, along, plane[:, 0]), np.interp(wanted, along, plane[:, 1])
    return result


def sample_element(element: Element, config: EvaluateConfig) -> SampledElement:
    """Return an element's samples and box."""
    plane = element.vertices[:, :2]
    low, high = plane.min(axis=0), plane.max(axis=0)
    plane = np.concatenate([plane, plane[:1]]) if element.closed else plane
    along = polyline.arc_length(plane)
    line = _at_equal_distances(plane, along, config.samples)
    step = line[1:] - line[:-1]
    ahead = step[1:] * step[:-1]
    gentle = bool((ahead[:, 0] + ahead[:, 1] > 0).all())
    return SampledElement(line, low, high, float(along[-1]), element.closed, gentle, plane)
