"""Dashes of a row, and the links between them: which end faces which, along one circle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recon.arrays import F64, Bool
from vectorize.trace.lines.linker import arc_between
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import RowConfig


@dataclass(frozen=True, slots=True)
class DashLink:
    """Dash `i` is followed by dash `j`; an end of a dash is 2 * dash + (0 first vertex, 1 last vertex)."""

    i: int
    j: int
    a: int  # the end of i that faces j
    b: int  # the end of j that faces i
    period_m: float  # between the middles
    gap_m: float
    bend_rad: float  # half of the turn from i to j
    off_rad: float  # from one circle through both
    way: complex  # unit direction from i to j

    @property
    def turned(self) -> DashLink:
        """Return the same link from j to i."""
        return replace(self, i=self.j, j=self.i, a=self.b, b=self.a, bend_rad=-self.bend_rad, way=-self.way)


@dataclass(frozen=True, slots=True, eq=False)
class Dashes:
    """Dashes as middles, directions and lengths."""

    middle: F64  # (N, 2)
    direction: F64  # (N, 2) unit
    length_m: F64  # (N,)
    is_dot: Bool  # (N,) too short to have a direction

    @classmethod
    def of(cls, strands: Sequence[Strand], config: RowConfig) -> Dashes:
        """Return the dashes of strands, in their order."""
        ends = np.array([s.xy_m[[0, -1]] for s in strands]).reshape(-1, 2, 2)
        length_m = np.array([s.length_m for s in strands])
        direction = np.array([s.end_direction(config.longest_dash_m) for s in strands]).reshape(-1, 2)
        return cls(ends.mean(axis=1), direction, length_m, length_m < config.dot_m)


def curve_of(link: DashLink, pieces: Sequence[Strand]) -> F64:
    """Return the bridge of a link, between the ends that face each other."""
    ends = [pieces[end // 2].xy_m[-(end % 2)] for end in (link.a, link.b)]
    return curve_between(ends[0], ends[1], link)


def curve_between(start: F64, end: F64, link: DashLink) -> F64:
    """Return the arc (N, 2) of a link from one end (2,) to another."""
    half = link.bend_rad * link.gap_m / link.period_m
    chord = end - start
    return arc_between(start, end, _rotated(chord, -half), _rotated(chord, half))


def _rotated(vector: F64, angle_rad: float) -> F64:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    unit = vector / max(float(np.hypot(*vector)), STEP_M / 100)
    return np.array([c * unit[0] - s * unit[1], s * unit[0] + c * unit[1]])
