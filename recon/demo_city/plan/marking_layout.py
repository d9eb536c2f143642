"""The layout of lines, stop lines, crossings, arrows and islands on a street."""

from __future__ import annotations

from typing import Literal

import numpy as np

from recon.arrays import F64
from recon.demo_city.plan import glyphs
from recon.demo_city.plan.cross_section import CrossSection, LineStyle, Separator
from recon.demo_city.plan.junction import Junction
from recon.demo_city.plan.marking import Crossing, MarkingList, gaps_between
from recon.demo_city.plan.plan_kernels import LEFT, LENGTH, RIGHT, START

Spans = list[tuple[float, float]]

STOP_GAP_M = 1.0


def place_markings(
    rng: np.random.Generator,
    section: CrossSection,
    arms: F64,
    junctions: tuple[Junction, ...],
    crossing_s: list[float],
    ends: tuple[float, float],
) -> tuple[MarkingList, F64]:
    """Place the markings of the main street and its arms; return them and the raised islands (I, 5)."""
    markings = MarkingList(dash_m=float(rng.choice([2.0, 3.0, 3.0, 4.0])), gap_m=float(rng.choice([4.0, 5.0, 6.0])))
    stop_m = float(rng.choice([0.3, 0.4, 0.5]))
    mouths: dict[str, Spans] = {"left": [], "right": []}
    inner: Spans = []  # where neither centre nor lane lines are painted
    walked: Spans = []  # where a crossing interrupts the edge lines
    for s in crossing_s:
        span = _main_crossing(rng, markings, section, s)
        stop = bool(rng.random() < 0.6)
        if stop:
            _stop_lines(markings, section, span, stop_m)
            _arrows(rng, markings, section, span, chance=0.5)
        reach = STOP_GAP_M + stop_m if stop else 0.3
        inner.append((span[0] - reach, span[1] + reach))
        walked.append(span)
    for junction in junctions:
        span = (junction.s_m - junction.reach_m, junction.s_m + junction.reach_m)
        for side in junction.sides:
            mouths["left" if side > 0 else "right"].append(span)
        signals = len(junction.sides) == 2 and rng.random() < 0.6
        if signals:
            zebras = rng.random() < 0.6
            for sign in (-1.0, 1.0) if zebras else ():
                edge = junction.s_m + sign * (junction.reach_m + 2.3)
                walked.append(_main_crossing(rng, markings, section, edge))
            reach = junction.reach_m + (4.8 if zebras else 0.3)
            span = (junction.s_m - reach, junction.s_m + reach)
            _stop_lines(markings, section, span, stop_m)
            _arrows(rng, markings, section, span, chance=0.8)
            inner.append((span[0] - STOP_GAP_M - stop_m, span[1] + STOP_GAP_M + stop_m))
        elif rng.random() < 0.75 or section.median_m:
            inner.append(span)
        for arm in junction.arms:
            _arm_paint(rng, markings, arms, arm, junction, section, stop_m)
    for separator in section.separators:
        closed = walked + (mouths[separator.edge] if separator.edge else inner)
        for s0, s1 in gaps_between(ends[0], ends[1], closed):
            markings.line(separator, s0, s1)
    _words(rng, markings, section, ends, inner)
    return markings, _median(rng, markings, section, inner + walked, ends)


def _main_crossing(
    rng: np.random.Generator, markings: MarkingList, section: CrossSection, s: float
) -> tuple[float, float]:
    wide = float(rng.uniform(2.8, 4.0))
    inset = float(rng.uniform(0.2, 0.45))
    crossing = Crossing(
        s0_m=s - wide / 2,
        s1_m=s + wide / 2,
        t0_m=section.right_kerb_t_m + inset,
        t1_m=section.left_kerb_t_m - inset,
        kind=("zebra", "zebra", "zebra", "lines", "ladder")[int(rng.integers(5))],
    )
    markings.crossing(crossing)
    return crossing.s0_m, crossing.s1_m


def _stop_lines(markings: MarkingList, section: CrossSection, span: tuple[float, float], width_m: float) -> None:
    for forward, s0 in ((True, span[0] - STOP_GAP_M - width_m), (False, span[1] + STOP_GAP_M)):
        lanes = section.driving(forward=forward)
        edges = [lane.t_m + sign * lane.width_m / 2 for lane in lanes for sign in (-1.0, 1.0)]
        markings.stop_line(s0, width_m, min(edges) + 0.1, max(edges) - 0.1)


def _arrows(
    rng: np.random.Generator, markings: MarkingList, section: CrossSection, span: tuple[float, float], *, chance: float
) -> None:
    for forward in (True, False):
        lanes = section.driving(forward=forward)
        if rng.random() > chance:
            continue
        for number, lane in enumerate(lanes):
            # The outermost lane may turn off, the innermost may turn across.
            outer = number == 0
            names = ["ahead", "ahead_right"] if outer else ["ahead", "left", "ahead_left"]
            name = "ahead" if len(lanes) == 1 and rng.random() < 0.4 else str(rng.choice(names))
            for back in (8.5, 26.0):
                at = span[0] - back if forward else span[1] + back
                markings.glyph(name, at, lane.t_m, length_m=4.5, width_m=1.5, backward=not forward)


def _words(
    rng: np.random.Generator, markings: MarkingList, section: CrossSection, ends: tuple[float, float], inner: Spans
) -> None:
    free = gaps_between(ends[0] + 5.0, ends[1] - 5.0, [(low - 34.0, high + 34.0) for low, high in inner])
    for lane in section.lanes:
        names = {"bike": ["bike", "diamond"], "drive": list(glyphs.WORDS) + ["diamond"]}.get(lane.kind)
        for low, high in free:
            at = low + rng.uniform(0.0, 20.0)
            while names and at + 4.0 < high:
                if lane.kind == "bike" or rng.random() < 0.35:
                    size = (2.0, 0.9) if lane.kind == "bike" else (3.2, min(2.0, lane.width_m - 0.8))
                    name = str(rng.choice(names))
                    markings.glyph(name, at, lane.t_m, length_m=size[0], width_m=size[1], backward=not lane.forward)
                at += rng.uniform(22.0, 45.0)


def _arm_paint(
    rng: np.random.Generator,
    markings: MarkingList,
    arms: F64,
    arm: int,
    junction: Junction,
    section: CrossSection,
    stop_m: float,
) -> None:
    """Paint a side street. Its s grows away from the main street, so traffic towards the junction is on its left."""
    begin = float(arms[arm, START]) + 1.0 + junction.reach_m - float(arms[arm, LEFT]) + 0.4
    left, right, end = float(arms[arm, LEFT]), float(arms[arm, RIGHT]), float(arms[arm, LENGTH]) - 1.0
    if rng.random() < 0.4:
        wide = float(rng.uniform(2.6, 3.4))
        kind: Literal["zebra", "lines"] = "zebra" if rng.random() < 0.7 else "lines"
        crossing = Crossing(s0_m=begin, s1_m=begin + wide, t0_m=right + 0.3, t1_m=left - 0.3, street=arm, kind=kind)
        markings.crossing(crossing)
        begin += wide + 0.8
    if rng.random() < 0.75:
        markings.stop_line(begin, stop_m, 0.1, left - 0.25, arm)
        begin += stop_m
    draw = rng.random()
    if draw < 0.8:
        style: LineStyle = "dashed" if draw < 0.5 else ("solid" if draw < 0.7 else "double")
        yellow = any(separator.yellow for separator in section.separators)
        markings.line(Separator(t_m=0.0, style=style, yellow=yellow), begin, end, arm)
    if rng.random() < 0.35:
        for t in (left - 0.35, right + 0.35):
            markings.line(Separator(t_m=t, style="solid"), begin, end, arm)


def _median(
    rng: np.random.Generator, markings: MarkingList, section: CrossSection, closed: Spans, ends: tuple[float, float]
) -> F64:
    """Hatch the strip between the directions, with raised islands where it ends and in between."""
    islands: list[tuple[float, ...]] = []
    half = section.median_m / 2
    if half > 0.0:
        yellow = any(separator.yellow for separator in section.separators)
        green = rng.random() < 0.4
        for low, high in gaps_between(ends[0], ends[1], closed):
            hatch = (low, high)
            width = half - 0.32
            if high - low > 6.0 and low > ends[0] and rng.random() < 0.75:
                islands.append((low + 2.3, 0.0, 1.9, width, min(0.5, width)))
                hatch = (low + 4.6, hatch[1])
            if high - low > 13.0 and high < ends[1] and rng.random() < 0.75:
                islands.append((high - 2.3, 0.0, 1.9, width, min(0.5, width)))
                hatch = (hatch[0], high - 4.6)
            if hatch[1] - hatch[0] > 26.0 and green:
                islands.append((0.5 * sum(hatch), 0.0, 0.5 * (hatch[1] - hatch[0]) - 7.0, width, min(0.5, width)))
                markings.hatching(hatch[0], hatch[0] + 6.4, -half + 0.2, half - 0.2, yellow=yellow)
                hatch = (hatch[1] - 6.4, hatch[1])
            markings.hatching(hatch[0], hatch[1], -half + 0.2, half - 0.2, yellow=yellow)
    return np.array(islands).reshape(-1, 5)
