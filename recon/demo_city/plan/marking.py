"""Paint on the roads: every marking is a rectangle in the road coordinates of one street."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recon.classes import RoadClass
from recon.demo_city.plan import glyphs
from recon.demo_city.plan.cross_section import LineStyle, Separator

MAIN = -1
LINE_WIDTH_M = 0.15
DOUBLE_GAP_M = 0.12  # from the middle of a double line to the middle of each of its lines


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
    street: int = MAIN  # or the number of an arm
    glyph: int = -1  # index into the atlas, or HATCH
    yellow: bool = False
    backward: bool = False  # a glyph for traffic towards falling s

    def row(self) -> tuple[float, ...]:
        """Return the marking as one row of the paint kernel's table."""
        where = (self.s0_m, self.s1_m, self.t0_m, self.t1_m, self.road_class, self.period_m, self.on_m, self.phase_m)
        return (*where, self.street, self.glyph, float(self.yellow), float(self.backward))


@dataclass(frozen=True, slots=True, kw_only=True)
class Divider:
    """A divider of the true map: one run of a painted line."""

    street: int
    s0_m: float
    s1_m: float
    t_m: float
    style: LineStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A pedestrian crossing over a whole carriageway."""

    s0_m: float
    s1_m: float
    t0_m: float
    t1_m: float
    street: int = MAIN
    kind: Literal["zebra", "lines", "ladder"] = "zebra"


@dataclass(slots=True)
class MarkingList:
    """Markings, with the dividers and crossings of the true map that they form."""

    dash_m: float = 3.0
    gap_m: float = 6.0
    markings: list[Marking] = field(default_factory=list)
    dividers: list[Divider] = field(default_factory=list)
    crossings: list[Crossing] = field(default_factory=list)

    def line(self, separator: Separator, s0_m: float, s1_m: float, street: int = MAIN) -> None:
        """Paint one run of a separator."""
        if s1_m - s0_m < 1.0:
            return
        half = LINE_WIDTH_M / 2
        offsets = (-DOUBLE_GAP_M, DOUBLE_GAP_M) if separator.style == "double" else (0.0,)
        period, on = 0.0, 0.0
        if separator.style == "dashed":
            # Dashes are spaced so that one lies at each end, which keeps the gap at a crossing as short as possible.
            on = min(self.dash_m, s1_m - s0_m)
            count = max(round((s1_m - s0_m - on) / (self.dash_m + self.gap_m)), 1)
            period = max((s1_m - s0_m - on) / count, on + 0.01)
        for offset in offsets:
            self.markings.append(
                Marking(
                    road_class=RoadClass.LANE_MARKING,
                    s0_m=s0_m,
                    s1_m=s1_m,
                    t0_m=separator.t_m + offset - half,
                    t1_m=separator.t_m + offset + half,
                    period_m=period,
                    on_m=on,
                    phase_m=s0_m,
                    street=street,
                    yellow=separator.yellow,
                )
            )
        self.dividers.append(Divider(street=street, s0_m=s0_m, s1_m=s1_m, t_m=separator.t_m, style=separator.style))

    def stop_line(self, s0_m: float, width_m: float, t0_m: float, t1_m: float, street: int = MAIN) -> None:
        """Paint a stop line."""
        self.markings.append(
            Marking(road_class=RoadClass.STOP_LINE, s0_m=s0_m, s1_m=s0_m + width_m, t0_m=t0_m, t1_m=t1_m, street=street)
        )

    def crossing(self, crossing: Crossing) -> None:
        """Paint a crossing: stripes, two lines, or both."""
        self.crossings.append(crossing)
        low, high = crossing.t0_m, crossing.t1_m
        if crossing.kind != "lines":
            pitch_m, gap = (1.0, 0.5) if crossing.kind == "zebra" else (1.2, 0.6)
            count = max(round((high - low + gap) / pitch_m), 2)
            pitch = (high - low + gap) / count
            for i in range(count):
                t0 = low + i * pitch
                self._cross(crossing, crossing.s0_m, crossing.s1_m, t0, t0 + pitch - gap)
        if crossing.kind != "zebra":
            for s0 in (crossing.s0_m, crossing.s1_m - 0.3):
                self._cross(crossing, s0, s0 + 0.3, low, high)

    def _cross(self, crossing: Crossing, s0: float, s1: float, t0: float, t1: float) -> None:
        self.markings.append(
            Marking(road_class=RoadClass.CROSSWALK, s0_m=s0, s1_m=s1, t0_m=t0, t1_m=t1, street=crossing.street)
        )

    def glyph(
        self, name: str, s_m: float, t_m: float, *, length_m: float, width_m: float, backward: bool, street: int = MAIN
    ) -> None:
        """Paint an arrow, a word or a symbol whose near end, as the driver reads it, lies at s."""
        s0 = s_m - length_m if backward else s_m
        self.markings.append(
            Marking(
                road_class=RoadClass.OTHER_MARKING,
                s0_m=s0,
                s1_m=s0 + length_m,
                t0_m=t_m - width_m / 2,
                t1_m=t_m + width_m / 2,
                street=street,
                glyph=glyphs.NAMES.index(name),
                backward=backward,
            )
        )

    def hatching(self, s0_m: float, s1_m: float, t0_m: float, t1_m: float, *, yellow: bool) -> None:
        """Fill a strip of the main street with slanted stripes."""
        if s1_m - s0_m > 1.0:
            self.markings.append(
                Marking(
                    road_class=RoadClass.OTHER_MARKING,
                    s0_m=s0_m,
                    s1_m=s1_m,
                    t0_m=t0_m,
                    t1_m=t1_m,
                    period_m=2.2,
                    on_m=0.55,
                    glyph=glyphs.HATCH,
                    yellow=yellow,
                )
            )


def gaps_between(first_m: float, last_m: float, closed: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the parts of a range that no closed range covers."""
    free, at = [], first_m
    for low, high in sorted(closed):
        if low > at:
            free.append((at, min(low, last_m)))
        at = max(at, high)
    if at < last_m:
        free.append((at, last_m))
    return [(low, high) for low, high in free if high - low > np.finfo(float).eps]
