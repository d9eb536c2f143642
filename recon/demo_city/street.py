"""The plan of one street in road coordinates: cross-section, paint, repairs.

The ground is painted from it and the true map is read from it, so that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recon.classes import RoadClass
from recon.demo_city.config import CityConfig
from recon.demo_city.line import ReferenceLine

F64 = npt.NDArray[np.float64]

RUN_OUT_M = 110.0  # the street goes on before and after the drive, beyond what the cameras resolve
LINE_WIDTH_M = 0.15
DASH_M = 3.0
DASH_GAP_M = 6.0
KERB_HEIGHT_M = 0.12
KERB_WIDTH_M = 0.18


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSection:
    """Widths of the street, t positive to the left of the driving direction."""

    lane_m: float
    left_kerb_t_m: float  # foot of the kerb, > 0
    right_kerb_t_m: float  # < 0
    left_walk_m: float  # width of the sidewalk behind the kerb
    right_walk_m: float
    crown_m: float  # the middle of the road lies this much above its edges


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """A painted rectangle in road coordinates, repeated along s where `period_m` is positive."""

    road_class: RoadClass
    s0_m: float
    s1_m: float
    t0_m: float
    t1_m: float
    period_m: float = 0.0
    on_m: float = 0.0
    phase_m: float = 0.0  # s at which a dash begins

    def row(self) -> tuple[float, ...]:
        """Return the marking as one row of the paint kernel's table."""
        return (self.s0_m, self.s1_m, self.t0_m, self.t1_m, self.road_class, self.period_m, self.on_m, self.phase_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A zebra over the whole carriageway with a stop line in each lane."""

    s0_m: float
    s1_m: float
    stop_gap_m: float = 1.0
    stop_width_m: float = 0.4

    @property
    def clear_s_m(self) -> tuple[float, float]:
        """Return the range of s, stop lines included, in which no centre line is painted."""
        reach = self.stop_gap_m + self.stop_width_m
        return self.s0_m - reach, self.s1_m + reach


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Street:
    """One two-way street."""

    line: ReferenceLine
    section: CrossSection
    crossing: Crossing
    markings: tuple[Marking, ...]
    repairs: F64  # (N, 5) s0, s1, t0, t1, brightness of patches in the asphalt
    manholes: F64  # (N, 3) s, t, radius

    @property
    def ego_t_m(self) -> float:
        """Return where the vehicle drives: the middle of the right-hand lane."""
        return -0.5 * self.section.lane_m

    @classmethod
    def random(cls, config: CityConfig, rng: np.random.Generator) -> Self:
        """Lay out the street of a seed."""
        line = ReferenceLine.random(rng, start_m=-RUN_OUT_M, end_m=config.driven_m + RUN_OUT_M)
        lane = float(rng.uniform(3.2, 3.6))
        margin, parking = float(rng.uniform(0.35, 0.6)), float(rng.uniform(2.15, 2.4))
        section = CrossSection(
            lane_m=lane,
            left_kerb_t_m=lane + margin,
            right_kerb_t_m=-lane - parking,
            left_walk_m=float(rng.uniform(1.8, 3.2)),
            right_walk_m=float(rng.uniform(2.0, 3.4)),
            crown_m=float(rng.uniform(0.05, 0.10)),
        )
        start = float(rng.uniform(0.35, 0.6)) * max(config.driven_m, 40.0)
        crossing = Crossing(s0_m=start, s1_m=start + float(rng.uniform(3.0, 3.4)))
        ends = (float(line.s[0]), float(line.s[-1]))
        return cls(
            line=line,
            section=section,
            crossing=crossing,
            markings=_markings(section, crossing, ends),
            repairs=_repairs(rng, section, ends),
            manholes=_manholes(rng, lane, ends),
        )


def _markings(section: CrossSection, crossing: Crossing, ends: tuple[float, float]) -> tuple[Marking, ...]:
    half = LINE_WIDTH_M / 2
    clear = crossing.clear_s_m
    marks = []
    for t in (section.lane_m, -section.lane_m):
        for s0, s1 in ((ends[0], crossing.s0_m), (crossing.s1_m, ends[1])):
            marks.append(Marking(road_class=RoadClass.LANE_MARKING, s0_m=s0, s1_m=s1, t0_m=t - half, t1_m=t + half))
    # A dash ends at each stop line: the gap over the crossing stays as short as the paint allows.
    for s0, s1, phase in ((ends[0], clear[0], clear[0] - DASH_M), (clear[1], ends[1], clear[1])):
        marks.append(
            Marking(
                road_class=RoadClass.LANE_MARKING,
                s0_m=s0,
                s1_m=s1,
                t0_m=-half,
                t1_m=half,
                period_m=DASH_M + DASH_GAP_M,
                on_m=DASH_M,
                phase_m=phase,
            )
        )
    low, high = section.right_kerb_t_m + 0.35, section.left_kerb_t_m - 0.35
    count = round((high - low + 0.5) / 1.0)
    pitch = (high - low + 0.5) / count
    for i in range(count):
        t0 = low + i * pitch
        marks.append(
            Marking(
                road_class=RoadClass.CROSSWALK, s0_m=crossing.s0_m, s1_m=crossing.s1_m, t0_m=t0, t1_m=t0 + pitch - 0.5
            )
        )
    for s0, t0, t1 in (
        (clear[0], -section.lane_m + half, -0.1),
        (clear[1] - crossing.stop_width_m, 0.1, section.lane_m - half),
    ):
        marks.append(
            Marking(road_class=RoadClass.STOP_LINE, s0_m=s0, s1_m=s0 + crossing.stop_width_m, t0_m=t0, t1_m=t1)
        )
    return tuple(marks)


def _repairs(rng: np.random.Generator, section: CrossSection, ends: tuple[float, float]) -> F64:
    count = max(1, int((ends[1] - ends[0]) / 14.0))
    s0 = rng.uniform(ends[0], ends[1], count)
    t0 = rng.uniform(section.right_kerb_t_m, section.left_kerb_t_m - 1.0, count)
    along = rng.choice([1.2, 2.5, 6.0, 18.0], count) * rng.uniform(0.7, 1.3, count)
    across = np.where(along > 10.0, rng.uniform(0.5, 0.8, count), rng.uniform(0.8, 2.6, count))
    shade = rng.choice([0.62, 0.75, 1.2], count) * rng.uniform(0.92, 1.08, count)
    return np.stack([s0, s0 + along, t0, np.minimum(t0 + across, section.left_kerb_t_m), shade], axis=-1)


def _manholes(rng: np.random.Generator, lane_m: float, ends: tuple[float, float]) -> F64:
    s = np.arange(ends[0], ends[1], 31.0)
    s = s + rng.uniform(0.0, 12.0, len(s))
    t = rng.uniform(-lane_m + 0.6, lane_m - 0.6, len(s))
    return np.stack([s, t, np.full(len(s), 0.33)], axis=-1)
