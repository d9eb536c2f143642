"""The cross-section of a street: its lanes and the lines that separate them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

LaneKind = Literal["drive", "bike", "park"]
LineStyle = Literal["solid", "dashed", "double"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One strip of the carriageway, t positive to the left of the direction of growing s."""

    kind: LaneKind
    t_m: float  # its middle
    width_m: float
    forward: bool  # traffic runs towards growing s


@dataclass(frozen=True, slots=True, kw_only=True)
class Separator:
    """A line along the street."""

    t_m: float
    style: LineStyle
    yellow: bool = False
    edge: Literal["", "left", "right"] = ""  # an edge line is interrupted at the mouths of its own side only


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSection:
    """Widths of the street, t positive to the left of the driving direction; t = 0 separates the two directions."""

    lanes: tuple[Lane, ...]
    separators: tuple[Separator, ...]
    left_kerb_t_m: float  # foot of the kerb, > 0
    right_kerb_t_m: float  # < 0
    left_walk_m: float  # width of the sidewalk behind the kerb
    right_walk_m: float
    crown_m: float  # the middle of the road lies this much above its edges
    median_m: float  # painted strip between the directions, 0 = none

    def driving(self, *, forward: bool) -> tuple[Lane, ...]:
        """Return the lanes of one direction, the outermost first."""
        lanes = [lane for lane in self.lanes if lane.kind == "drive" and lane.forward == forward]
        return tuple(sorted(lanes, key=lambda lane: -abs(lane.t_m)))

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Draw two to four lanes, with or without median, bike lanes and parking lanes."""
        ahead, back = ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2))[rng.choice(5, p=[0.28, 0.22, 0.15, 0.1, 0.25])]
        width = float(rng.uniform(2.9, 3.7))
        median = float(rng.uniform(1.6, 2.6)) if rng.random() < 0.25 else 0.0
        yellow = bool(rng.random() < 0.25)
        separators = list(_centre(rng, median, yellow, single=ahead + back == 2))
        lanes: list[Lane] = []
        reach = {}
        edge_style = rng.choice(["solid", "none", "dashed"], p=[0.62, 0.26, 0.12])
        for side, count, name in ((1.0, back, "left"), (-1.0, ahead, "right")):
            at = median / 2
            for i in range(count):
                lanes.append(Lane(kind="drive", t_m=side * (at + width / 2), width_m=width, forward=side < 0))
                at += width
                if i + 1 < count:
                    separators.append(Separator(t_m=side * at, style="dashed"))
            for kind in _extras(rng):
                style: LineStyle = "dashed" if rng.random() < 0.4 else "solid"
                if kind == "bike" or edge_style != "none":
                    separators.append(Separator(t_m=side * at, style=style, edge="left" if side > 0 else "right"))
                strip = float(rng.uniform(1.4, 1.9) if kind == "bike" else rng.uniform(2.1, 2.45))
                lanes.append(Lane(kind=kind, t_m=side * (at + strip / 2), width_m=strip, forward=side < 0))
                at += strip
            if lanes[-1].kind == "drive":
                if edge_style != "none":
                    separators.append(Separator(t_m=side * at, style=edge_style, edge="left" if side > 0 else "right"))
                at += float(rng.uniform(0.35, 0.75))
            reach[name] = at + 0.12
        return cls(
            lanes=tuple(lanes),
            separators=tuple(separators),
            left_kerb_t_m=reach["left"],
            right_kerb_t_m=-reach["right"],
            left_walk_m=float(rng.uniform(1.4, 3.8)),
            right_walk_m=float(rng.uniform(1.4, 3.8)),
            crown_m=float(rng.uniform(0.03, 0.10)),
            median_m=median,
        )


def _extras(rng: np.random.Generator) -> list[LaneKind]:
    options: list[list[LaneKind]] = [[], [], ["park"], ["park"], ["bike"], ["bike", "park"]]
    return options[int(rng.integers(len(options)))]


def _centre(rng: np.random.Generator, median_m: float, yellow: bool, *, single: bool) -> tuple[Separator, ...]:
    if median_m:
        return tuple(Separator(t_m=side * median_m / 2, style="solid", yellow=yellow) for side in (1.0, -1.0))
    draw = rng.random()
    if draw < (0.5 if single else 0.3):
        return (Separator(t_m=0.0, style="dashed", yellow=yellow),)
    if draw < (0.7 if single else 0.45):
        return (Separator(t_m=0.0, style="solid", yellow=yellow),)
    if draw < (0.9 if single else 1.0):
        return (Separator(t_m=0.0, style="double", yellow=yellow),)
    return ()  # a narrow street without a centre line
