"""Paint along the lines of a surveyed map: strokes of lines and stripes of crossings, as polygons of the plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from shapely.ops import substring

from recon.arrays import F64
from recon.classes import RoadClass
from recon.demo_city.plan.city_plan import PaintStyle
from recon.demo_city.plan.marking import DOUBLE_GAP_M, LINE_WIDTH_M

StrokeKind = Literal["solid", "dashed"]
STRIPE_M, STRIPE_PITCH_M = 0.5, 1.0  # of a zebra


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Painted:
    """One polygon of paint."""

    area: shapely.Polygon
    road_class: RoadClass
    yellow: bool = False


def style_of(left: StrokeKind | None, right: StrokeKind) -> PaintStyle:
    """Return the style of a line of one stroke, or of two as seen along the line.

    Two dashed lines side by side may be crossed like one.
    """
    if left is None or (left == "dashed" and right == "dashed"):
        return right
    if left == right:
        return "double"
    return "solid_dashed" if left == "solid" else "dashed_solid"


def line_paint(
    line: shapely.LineString, left: StrokeKind | None, right: StrokeKind, *, dash_m: float, gap_m: float, yellow: bool
) -> list[Painted]:
    """Return the paint of a line of one stroke (`left` is None) or of two beside each other."""
    strokes = [(0.0, right)] if left is None else [(DOUBLE_GAP_M, left), (-DOUBLE_GAP_M, right)]
    painted = []
    for offset, kind in strokes:
        middle = shapely.offset_curve(line, offset, join_style="mitre") if offset else line
        for stroke in shapely.get_parts(middle):
            pieces = dashes(stroke, dash_m, gap_m) if kind == "dashed" else [stroke]
            areas = (shapely.buffer(piece, LINE_WIDTH_M / 2, cap_style="flat", join_style="mitre") for piece in pieces)
            parts = [part for area in areas for part in shapely.get_parts(area)]
            painted += [Painted(area=part, road_class=RoadClass.LANE_MARKING, yellow=yellow) for part in parts]
    return painted


def dashes(line: shapely.LineString, dash_m: float, gap_m: float) -> list[shapely.LineString]:
    """Return the dashes of a line; the gaps are stretched so that a dash lies at each end, as on the city's streets."""
    on = min(dash_m, line.length)
    count = max(round((line.length - on) / (dash_m + gap_m)), 1)
    starts = np.linspace(0.0, line.length - on, count + 1)
    if count == 1 and line.length < 2 * on + 0.5 * gap_m:
        starts = starts[:1]
    return [substring(line, float(start), float(start) + on) for start in starts]


def zebra(first: F64, second: F64) -> list[Painted]:
    """Return the stripes of a crossing between its edges (N, 2) and (M, 2), which run across the road."""
    a, b = shapely.LineString(first), shapely.LineString(second)
    length = 0.5 * (a.length + b.length)
    count = max(round((length + STRIPE_PITCH_M - STRIPE_M) / STRIPE_PITCH_M), 2)
    pitch = (length + STRIPE_PITCH_M - STRIPE_M) / count
    stripes = []
    for i in range(count):
        share = np.array([i * pitch, (i + 1) * pitch - (STRIPE_PITCH_M - STRIPE_M)]) / length
        corners = [shapely.line_interpolate_point(edge, share, normalized=True) for edge in (a, b)]
        ring = np.concatenate([shapely.get_coordinates(corners[0]), shapely.get_coordinates(corners[1])[::-1]])
        stripes.append(Painted(area=shapely.Polygon(ring), road_class=RoadClass.CROSSWALK))
    return stripes
