"""The plan of the streets in road coordinates: cross-section, junctions, islands, paint, repairs.

The ground and the true map are both made from it, so that they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recon.arrays import F64
from recon.demo_city.config import CityConfig
from recon.demo_city.plan.cross_section import CrossSection
from recon.demo_city.plan.junction import Junction
from recon.demo_city.plan.marking import MAIN, Crossing, Divider, Marking
from recon.demo_city.plan.marking_layout import place_markings
from recon.demo_city.plan.plan_kernels import ARM_COLUMNS
from recon.demo_city.plan.reference_line import ReferenceLine

RUN_OUT_M = 110.0  # the street continues before and after the drive, farther than the cameras resolve
ARM_M = 52.0  # length of a side street


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Street:
    """One two-way street, its side streets and what is painted on them."""

    line: ReferenceLine
    section: CrossSection
    arms: F64  # (J, ARM_COLUMNS)
    junctions: tuple[Junction, ...]
    islands: F64  # (I, 5) s, t, half length, half width, corner radius
    crossings: tuple[Crossing, ...]
    markings: tuple[Marking, ...]
    dividers: tuple[Divider, ...]
    repairs: F64  # (N, 5) s0, s1, t0, t1, brightness of patches in the asphalt
    manholes: F64  # (N, 3) s, t, radius

    def at(self, street: int, s: npt.ArrayLike, t: npt.ArrayLike) -> F64:
        """Return world xy (..., 2) of road coordinates of the main street or an arm."""
        if street == MAIN:
            return self.line.at(s, t)
        ox, oy, ux, uy = self.arms[street, :4]
        s, t = np.broadcast_arrays(np.asarray(s, dtype=np.float64), np.asarray(t, dtype=np.float64))
        # To the left of a direction (ux, uy) lies (-uy, ux).
        return np.stack([ox + s * ux - t * uy, oy + s * uy + t * ux], axis=-1)

    def heading(self, street: int, s: float) -> float:
        """Return the direction in radians of growing s."""
        if street == MAIN:
            return float(self.line.heading_at(s))
        return float(np.arctan2(self.arms[street, 3], self.arms[street, 2]))

    @classmethod
    def random(cls, config: CityConfig, rng: np.random.Generator) -> Self:
        """Draw the streets of a seed."""
        line = ReferenceLine.random(rng, start_m=-RUN_OUT_M, end_m=config.driven_m + RUN_OUT_M)
        section = CrossSection.random(rng)
        arms, junctions, crossing_s = _features(rng, line, section, config.driven_m)
        ends = (float(line.s[0]), float(line.s[-1]))
        markings, islands = place_markings(rng, section, arms, junctions, crossing_s, ends)
        return cls(
            line=line,
            section=section,
            arms=arms,
            junctions=junctions,
            islands=islands,
            crossings=tuple(markings.crossings),
            markings=tuple(markings.markings),
            dividers=tuple(markings.dividers),
            repairs=_repairs(rng, section, ends),
            manholes=_manholes(rng, section, ends),
        )


def _features(
    rng: np.random.Generator, line: ReferenceLine, section: CrossSection, driven_m: float
) -> tuple[F64, tuple[Junction, ...], list[float]]:
    """Return arms, junctions, and s of the pedestrian crossings between junctions."""
    arms: list[list[float]] = []
    junctions: list[Junction] = []
    crossings: list[float] = []
    s = -RUN_OUT_M + 30.0 + rng.uniform(0.0, 30.0)
    while s < driven_m + RUN_OUT_M - 30.0:
        draw = rng.random()
        if draw < 0.34:
            crossings.append(s)
        elif draw < 0.82:
            sides = (1.0, -1.0) if draw > 0.62 else (float(rng.choice([1.0, -1.0])),)
            half, corner = float(rng.uniform(2.7, 4.2)), float(rng.uniform(2.5, 6.0))
            turn = float(rng.uniform(-0.22, 0.22))
            first = len(arms)
            for side in sides:
                arms.append(_arm(line, section, s, side, turn, half, corner))
            numbers = tuple(range(first, len(arms)))
            junctions.append(Junction(s_m=s, sides=sides, arms=numbers, reach_m=half / np.cos(turn) + corner + 0.6))
        s += rng.uniform(30.0, 62.0)
    return np.array(arms).reshape(-1, ARM_COLUMNS), tuple(junctions), crossings


def _arm(
    line: ReferenceLine, section: CrossSection, s: float, side: float, turn: float, half: float, corner: float
) -> list[float]:
    x, y = line.at(s, 0.0).tolist()
    direction = float(line.heading_at(s)) + side * np.pi / 2 + turn
    kerb = section.left_kerb_t_m if side > 0 else -section.right_kerb_t_m
    return [x, y, np.cos(direction), np.sin(direction), half, -half, kerb - 1.0, corner, kerb + ARM_M]


def _repairs(rng: np.random.Generator, section: CrossSection, ends: tuple[float, float]) -> F64:
    count = max(1, int((ends[1] - ends[0]) / rng.choice([8.0, 14.0, 40.0])))
    s0 = rng.uniform(ends[0], ends[1], count)
    t0 = rng.uniform(section.right_kerb_t_m, section.left_kerb_t_m - 1.0, count)
    along = rng.choice([1.2, 2.5, 6.0, 18.0], count) * rng.uniform(0.7, 1.3, count)
    across = np.where(along > 10.0, rng.uniform(0.5, 0.8, count), rng.uniform(0.8, 2.6, count))
    shade = rng.choice([0.62, 0.75, 1.2], count) * rng.uniform(0.92, 1.08, count)
    return np.stack([s0, s0 + along, t0, np.minimum(t0 + across, section.left_kerb_t_m), shade], axis=-1)


def _manholes(rng: np.random.Generator, section: CrossSection, ends: tuple[float, float]) -> F64:
    s = np.arange(ends[0], ends[1], 31.0)
    s = s + rng.uniform(0.0, 12.0, len(s))
    t = rng.uniform(section.right_kerb_t_m + 0.6, section.left_kerb_t_m - 0.6, len(s))
    return np.stack([s, t, np.full(len(s), 0.33)], axis=-1)
