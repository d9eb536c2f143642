"""The plan of the streets in road coordinates: cross-section, junctions, islands, paint, repairs.

The ground and the true map are both made from it, so that they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recon.arrays import F64, U8, Bool
from recon.demo_city.config import CityConfig
from recon.demo_city.plan.city_plan import Bay, PaintStyle, Surfaces, TruePaint, Verge
from recon.demo_city.plan.cross_section import CrossSection
from recon.demo_city.plan.glyphs import atlas
from recon.demo_city.plan.junction import Junction
from recon.demo_city.plan.marking import MAIN, Crossing, Divider, Marking
from recon.demo_city.plan.marking_kernels import street_stencil
from recon.demo_city.plan.marking_layout import place_markings
from recon.demo_city.plan.plan_kernels import ARM_COLUMNS, LEFT, LENGTH, START, Plan
from recon.demo_city.plan.reference_line import ReferenceLine
from recon.demo_city.plan.repairs import manholes, repairs

RUN_OUT_M = 110.0  # the street continues before and after the drive, farther than the cameras resolve
ARM_M = 52.0  # length of a side street
REACH_M = 60.0  # of the true map before the first and beyond the last pose; the cameras do not resolve more
ARM_REACH_M = 40.0  # of the true map along side streets
VERTEX_SPACING_M = 1.0


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

    def span(self, number: int) -> tuple[float, float]:
        """Return the range of s where traffic moves."""
        del number  # nothing moves on side streets
        return float(self.line.s[0]) + 6.0, float(self.line.s[-1]) - 6.0

    def ego_lanes(self, *, forward: bool) -> tuple[float, ...]:
        """Return the t of the driving lanes of a direction."""
        return tuple(lane.t_m for lane in self.section.driving(forward=forward))

    @property
    def surfaces(self) -> Surfaces:
        """The look of the carriageway."""
        kinds = {"drive": 0.0, "bike": 1.0, "park": 2.0}
        section = self.section
        return Surfaces(
            walks_m=(section.left_walk_m, section.right_walk_m),
            lanes=np.array([(lane.t_m, lane.width_m, kinds[lane.kind]) for lane in section.lanes]),
            repairs=self.repairs,
            manholes=self.manholes,
        )

    def land(self, x: F64, y: F64, s: F64, t: F64, rng: np.random.Generator) -> F64:
        """Return base heights (rows, columns): the crowned road, and a plain with hills away from it."""
        line, section = self.line, self.section
        middle = 0.5 * (section.left_kerb_t_m + section.right_kerb_t_m)
        half = 0.5 * (section.left_kerb_t_m - section.right_kerb_t_m)
        across = np.minimum(np.abs(t - middle) / half, 1.0)
        road = line.z_at(s) + section.crown_m * (1.0 - across**2)
        # Far from the street, inside bends, road coordinates are discontinuous: the land blends into a plain there.
        away = np.clip((np.abs(t) - 13.0) / 42.0, 0.0, 1.0)
        away = away * away * (3.0 - 2.0 * away)
        waves = rng.uniform(0.0, 2 * np.pi, 4)
        hills = np.sin(x / 23.0 + waves[0]) * np.sin(y / 29.0 + waves[1]) + 0.5 * np.sin((x + y) / 13.0 + waves[2])
        # The plain has the road's mean slope, so that side streets stay level.
        design = np.column_stack([line.xy[::50], np.ones(len(line.xy[::50]))])
        slope = np.linalg.lstsq(design, line.z[::50], rcond=None)[0]
        plain = slope[0] * x + slope[1] * y + slope[2] + 0.4 * hills
        height: F64 = road * (1.0 - away) + plain * away
        return height

    def kernels(self, st: F64, raster: tuple[float, float, float]) -> Plan:
        """Return the plan as the kernels read it."""
        return Plan(
            st=st,
            raster=raster,
            left_m=self.section.left_kerb_t_m,
            right_m=self.section.right_kerb_t_m,
            arms=self.arms,
            islands=self.islands,
            kerb=np.zeros((0, 0), dtype=np.float32),
            kerb_raster=raster,
        )

    def bakes(self, xy: F64, margin_m: float) -> Bool:
        """Return (...) whether points (..., 2) lie between the ends of the street."""
        s, _ = self.line.road_coordinates(xy)
        inside: Bool = (s > self.line.s[0] - margin_m) & (s < self.line.s[-1] + margin_m)
        return inside

    def stencil(self, plan: Plan, corners: F64, texel_m: float, side: int) -> U8:
        """Return the paint (n, side, side) of tiles with lower left corners (n, 2)."""
        rows = np.array([marking.row() for marking in self.markings], dtype=np.float64).reshape(-1, 12)
        painted: U8 = street_stencil(corners, texel_m, side, plan, rows, atlas())
        return painted

    def verges(self) -> list[Verge]:
        """Return the kerbs of the main street and its arms."""
        section = self.section
        first, last = float(self.line.s[0]) + 8.0, float(self.line.s[-1]) - 8.0
        verges = [
            Verge(MAIN, 1.0, section.left_kerb_t_m, section.left_walk_m, first, last),
            Verge(MAIN, -1.0, -section.right_kerb_t_m, section.right_walk_m, first, last),
        ]
        for j, arm in enumerate(self.arms):
            begin, end = float(arm[START]) + 10.0, float(arm[LENGTH]) - 2.0
            verges += [Verge(j, side, float(arm[LEFT]), 2.5, begin, end) for side in (1.0, -1.0)]
        return verges

    def ends(self) -> list[tuple[int, float]]:
        """Return (arm, s) of the places behind the side streets."""
        return [(j, float(arm[LENGTH]) + 9.0) for j, arm in enumerate(self.arms)]

    def bays(self) -> list[Bay]:
        """Return the parking lanes and the sides of the side streets."""
        first, last = float(self.line.s[0]) + 15.0, float(self.line.s[-1]) - 15.0
        closed = [(c.s0_m - 7.0, c.s1_m + 7.0) for c in self.crossings if c.street == MAIN]
        closed += [(j.s_m - j.reach_m - 6.0, j.s_m + j.reach_m + 6.0) for j in self.junctions]
        parking = [lane for lane in self.section.lanes if lane.kind == "park"]
        bays = [Bay(MAIN, lane.t_m, lane.forward, first, last, tuple(closed), True) for lane in parking]
        for j, arm in enumerate(self.arms):
            for side in (1.0, -1.0):
                t = side * (float(arm[LEFT]) - 1.1)
                bays.append(Bay(j, t, side < 0, float(arm[START]) + 19.0, float(arm[LENGTH]) - 4.0))
        return bays

    def true_range(self) -> tuple[float, float]:
        """Return the range of the true map along the main street, metres."""
        return float(self.line.s[0]) + RUN_OUT_M - REACH_M, float(self.line.s[-1]) - RUN_OUT_M + REACH_M

    def true_paint(self) -> TruePaint:
        """Return the paint within the true map; lane lines are dividers where they are painted."""
        low, high = self.true_range()
        dividers: list[tuple[F64, PaintStyle]] = []
        for divider in self.dividers:
            s0, s1 = max(divider.s0_m, low), min(divider.s1_m, high)
            if divider.street != MAIN:
                s0, s1 = divider.s0_m, min(divider.s1_m, float(self.arms[divider.street, START]) + ARM_REACH_M)
            if s1 - s0 < 1.0 or not self._is_near(divider.street):
                continue
            s = np.linspace(s0, s1, max(2, round((s1 - s0) / VERTEX_SPACING_M) + 1))
            dividers.append((self.at(divider.street, s, divider.t_m), divider.style))
        crossings, stop_lines = [], []
        for crossing in self.crossings:
            middle = 0.5 * (crossing.s0_m + crossing.s1_m)
            if self._is_near(crossing.street) and (crossing.street != MAIN or low < middle < high):
                s = np.array([crossing.s0_m, crossing.s1_m, crossing.s1_m, crossing.s0_m])
                t = np.array([crossing.t0_m, crossing.t0_m, crossing.t1_m, crossing.t1_m])
                crossings.append(self.at(crossing.street, s, t))
        for mark in self.markings:
            middle = 0.5 * (mark.s0_m + mark.s1_m)
            if mark.road_class.name != "STOP_LINE" or not self._is_near(mark.street):
                continue
            if mark.street != MAIN or low < middle < high:
                stop_lines.append(self.at(mark.street, np.full(2, middle), np.array([mark.t0_m, mark.t1_m])))
        return TruePaint(dividers=dividers, crossings=crossings, stop_lines=stop_lines)

    def _is_near(self, number: int) -> bool:
        """Return whether a street belongs to the true map; arms do if their mouths lie in its range."""
        if number == MAIN:
            return True
        low, high = self.true_range()
        return any(low + 10.0 < j.s_m < high - 10.0 for j in self.junctions if number in j.arms)

    def true_bounds(self) -> tuple[F64, F64]:
        """Return the corners (2,) around the true map."""
        spine = self.line.at(np.linspace(*self.true_range(), 50))
        margin = ARM_REACH_M + 20.0
        return spine.min(axis=0) - margin, spine.max(axis=0) + margin

    def is_true(self, xy: F64) -> Bool:
        """Return (...) whether points (..., 2) belong to the true map."""
        low, high = self.true_range()
        s, t = self.line.road_coordinates(xy)
        kerb = max(self.section.left_kerb_t_m, -self.section.right_kerb_t_m)
        kept: Bool = (s > low) & (s < high) & (np.abs(t) < kerb + ARM_REACH_M)
        return kept

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
            repairs=repairs(rng, section.right_kerb_t_m, section.left_kerb_t_m, ends),
            manholes=manholes(rng, section.right_kerb_t_m, section.left_kerb_t_m, ends),
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
