"""The nearest line across another one: what lies beside a place of a line, and how far away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely

from recon.arrays import F64

PARALLEL_DEG = 15.0  # neighbours are sides of one lane: beyond that angle the other line crosses or leaves
CHORD_M = 0.5  # each way from where a line is met: its direction there, without the noise of single vertices


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """The place at which a search across a line meets another line."""

    line: int  # index of that line
    at: F64  # (3,) world metres; the height is NaN where that line has none
    away_m: float  # from the start of the search, in the plane


@dataclass(frozen=True, slots=True, eq=False)
class LineIndex:
    """Lines in a spatial index."""

    lines: Sequence[shapely.LineString]
    _tree: shapely.STRtree

    @classmethod
    def of(cls, lines: Sequence[shapely.LineString]) -> Self:
        """Return the index of lines, which may have heights; there may be none."""
        return cls(lines, shapely.STRtree(lines))

    def across(self, own: int, start: F64, end: F64) -> list[Met]:
        """Return where other lines than `own` are first met on the way from `start` to `end` (2,), nearest first."""
        probe = shapely.LineString([start, end])
        met = []
        for j in self._tree.query(probe, predicate="intersects").tolist():
            if j == own:
                continue
            # Intersecting a 3D line with a flat probe reads the line's height where they meet.
            places = shapely.get_coordinates(shapely.intersection(self.lines[j], probe), include_z=True)
            away_m = np.hypot(*(places[:, :2] - start).T)
            first = int(np.argmin(away_m))
            met.append(Met(j, places[first], float(away_m[first])))
        return sorted(met, key=lambda one: (one.away_m, one.line))

    def is_parallel(self, met: Met, direction: F64) -> bool:
        """Return whether a line runs along a unit direction (2,) where it is met, either way."""
        line = self.lines[met.line]
        along = line.project(shapely.Point(met.at[:2]))
        ends = shapely.line_interpolate_point(line, [max(along - CHORD_M, 0.0), along + CHORD_M])
        step = np.diff(shapely.get_coordinates(ends), axis=0)[0]
        norm = float(np.hypot(*step))
        return norm > 0 and abs(float(step @ direction)) >= norm * np.cos(np.radians(PARALLEL_DEG))
