"""Junctions of the main street with its side streets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Junction:
    """A place where one or two side streets leave the main street."""

    s_m: float
    sides: tuple[float, ...]  # 1 left, -1 right
    arms: tuple[int, ...]
    reach_m: float  # half of the main street's length that lies open to the side
