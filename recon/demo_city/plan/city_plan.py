"""What every plan of a city offers: the streets of a seed and the streets of a surveyed map alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from recon.arrays import F64, U8, Bool
from recon.demo_city.plan.plan_kernels import Plan
from recon.demo_city.plan.reference_line import ReferenceLine

PaintStyle = Literal["solid", "dashed", "double", "solid_dashed", "dashed_solid"]


@dataclass(frozen=True, slots=True)
class Verge:
    """One kerb, along which objects stand: the line `number` shifted by `kerb_m` to its side."""

    number: int
    side: float  # 1 left, -1 right
    kerb_m: float
    walk_m: float
    first_m: float
    last_m: float


@dataclass(frozen=True, slots=True)
class Bay:
    """A strip where vehicles park, along the line `number`."""

    number: int
    t_m: float
    forward: bool
    first_m: float
    last_m: float
    closed: tuple[tuple[float, float], ...] = ()  # ranges of s that are kept free
    large: bool = False  # trucks park there too


class TruePaint(NamedTuple):
    """The paint of the true map, plane world metres."""

    dividers: list[tuple[F64, PaintStyle]]  # (N, 2) each
    crossings: list[F64]  # rings (N, 2)
    stop_lines: list[F64]  # (2, 2) each


class Surfaces(NamedTuple):
    """What varies the look of the carriageway, in road coordinates of the driven line."""

    walks_m: tuple[float, float]  # widths of the sidewalks left and right
    lanes: F64  # (N, 3) t, width, kind 0 drive, 1 bike, 2 park
    repairs: F64  # (N, 5) s0, s1, t0, t1, brightness
    manholes: F64  # (N, 3) s, t, radius


class CityPlan(Protocol):
    """The position of roads and paint in the plane, and the height of the land."""

    @property
    def line(self) -> ReferenceLine:
        """The line that is driven along, with room before and behind if the plan has it."""

    @property
    def surfaces(self) -> Surfaces:
        """The look of the carriageway."""

    def at(self, number: int, s: npt.ArrayLike, t: npt.ArrayLike) -> F64:
        """Return world xy (..., 2) of road coordinates of a line of the plan; MAIN is the driven line."""

    def heading(self, number: int, s: float) -> float:
        """Return the direction in radians of growing s."""

    def span(self, number: int) -> tuple[float, float]:
        """Return the range of s where traffic moves."""

    def ego_lanes(self, *, forward: bool) -> tuple[float, ...]:
        """Return the t of the lanes that the recording vehicle may choose from."""

    def land(self, x: F64, y: F64, s: F64, t: F64, rng: np.random.Generator) -> F64:
        """Return base heights (rows, columns) of a regular raster of world points with their road coordinates."""

    def kernels(self, st: F64, raster: tuple[float, float, float]) -> Plan:
        """Return the plan as the kernels read it."""

    def bakes(self, xy: F64, margin_m: float) -> Bool:
        """Return (...) whether the ground at points (..., 2) is painted at all."""

    def stencil(self, plan: Plan, corners: F64, texel_m: float, side: int) -> U8:
        """Return the paint (n, side, side) of tiles, as `marking_kernels.street_stencil` does."""

    def verges(self) -> list[Verge]:
        """Return the kerbs."""

    def ends(self) -> list[tuple[int, float]]:
        """Return (number, s) of places behind the end of a street, where a house closes the view."""

    def bays(self) -> list[Bay]:
        """Return the strips where vehicles park."""

    def true_paint(self) -> TruePaint:
        """Return the paint within the true map."""

    def true_bounds(self) -> tuple[F64, F64]:
        """Return the south-western and north-eastern corner (2,) around the true map."""

    def is_true(self, xy: F64) -> Bool:
        """Return (...) whether points (..., 2) belong to the true map."""
