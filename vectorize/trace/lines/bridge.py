"""Joining collinear pieces of paint to one line over their gaps."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from shapely import Geometry

from recon.arrays import F64
from vectorize.trace.lines.linker import Link, arc_between, link
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import BridgeConfig, TraceConfig

GAP_SHARES = (0.4, 0.7, 1.0)  # of the longest gap, in the order in which gaps are closed
MOST_ROUNDS = 8  # for each of them; joined pieces may fit new partners, and real maps settle after two or three
ROW_GAPS = 1.2  # times the gap of a row over which another line may continue it
TOUCH_M = 0.15  # ends closer than this have no measurable direction between them
APART_M = 1e-9  # between the ends of a bridge over no gap: a line needs two different points
MOST_TURNS = 2.0  # times `bridge_angle_deg` that two long dashes on a curve may turn with the gap between them
MOST_BEND_RAD = np.pi / 3  # between an end and the way to the other: more is a hook, whatever the turn


def bridge(strands: list[Strand], config: TraceConfig, barriers: list[Geometry]) -> list[Strand]:
    """Join strands whose ends continue each other, best pair first, each end once, never across a line.

    Two ends fit when the turn between them is at most `bridge_angle_deg`, the gap at most `bridge_gap_m`, and the
    lateral step, left over after the arc that best joins them, at most `bridge_lateral_m`. Haze (faint and wide)
    carries no gap longer than itself. Short gaps go first, so that the longer ones are judged with the better
    directions of longer pieces.
    """
    for share in GAP_SHARES:
        for _ in range(MOST_ROUNDS):
            joined = _round(strands, config, config.bridge_gap_m * share, barriers)
            if len(joined) == len(strands):
                break
            strands = joined
    return strands


def _round(strands: list[Strand], config: TraceConfig, gap_m: float, barriers: list[Geometry]) -> list[Strand]:
    if len(strands) < 2:
        return strands
    ends = np.array([point for s in strands for point in (s.xy_m[0], s.xy_m[-1])])
    dash_m, curve_m, course_m = config.bridge.dash_m, config.bridge.curve_m, config.bridge.course_m
    straight = np.array([d for s in strands for d in (s.reversed().end_direction(dash_m), s.end_direction(dash_m))])
    # A line's end is judged as straight, as curved, and by its longer course: the curvature of a worn end is noise,
    # and a row of dashes shows its direction better than its last dash does.
    curved = [
        np.array([d for s in strands for d in (_leaving(s.reversed(), base, dash_m), _leaving(s, base, dash_m))])
        for base in (curve_m, course_m)
    ]
    hypotheses = (straight, *curved)
    reach = np.array([r for s in strands for r in (_reach(s.reversed(), config.bridge), _reach(s, config.bridge))])
    dashes_m = np.repeat([s.length_m if s.length_m < curve_m else 0.0 for s in strands], 2)
    # A row goes on over a gap like its own.
    far = np.repeat([max(gap_m, ROW_GAPS * s.gap_m) for s in strands], 2)
    pairs = cKDTree(ends).query_pairs(float(far.max()), output_type="ndarray")
    pairs = pairs[pairs[:, 0] // 2 != pairs[:, 1] // 2]
    links = []
    for a, b in pairs.tolist():
        if np.hypot(*(ends[b] - ends[a])) > min(reach[a], reach[b], max(far[a], far[b])):
            continue
        judged = (_judge(a, b, ends, out, config, (dashes_m[a] + dashes_m[b]) / 2) for out in hypotheses)
        fits = [fit for fit in judged if fit is not None]
        links += sorted(fits, key=lambda fit: fit.cost)[:1]
    return link(strands, links, barriers)


def _reach(strand: Strand, config: BridgeConfig) -> float:
    """Return the longest gap that the end of a strand may carry: paint that is both faint and wide, its own length."""
    bridged = np.flatnonzero(strand.bridged)
    paint = strand.paint[int(bridged[-1]) + 1 if bridged.size else 0 :]
    faint = not paint.size or float(paint.mean()) < config.haze_probability
    hazy = not paint.size or (faint and strand.width_m > config.haze_width_m)
    return len(paint) * STEP_M if hazy else np.inf


def _leaving(strand: Strand, base_m: float, dash_m: float) -> F64:
    """Return the direction of the last vertex: along a short dash, on the fitted curve of a longer line."""
    return strand.end_direction(dash_m) if strand.length_m < base_m else strand.end_tangent(base_m)


def _judge(a: int, b: int, ends: F64, out: F64, config: TraceConfig, dash_m: float) -> Link | None:
    """Return the bridge between two ends, or None where they do not continue each other.

    The direction of a dash is that at its middle. On a curve the turn between two dashes is therefore that of the gap
    and of half of each dash, `dash_m`. Only the gap's share of it counts.
    """
    gap = ends[b] - ends[a]
    distance = float(np.hypot(*gap))
    turn = _angle(out[a], -out[b])
    limit = np.radians(config.bridge_angle_deg)
    share = distance / (distance + dash_m) if distance >= TOUCH_M else 1.0
    if abs(turn) * share > limit or abs(turn) > MOST_TURNS * limit:
        return None
    if distance < TOUCH_M:
        return Link(abs(turn), a, b, np.stack([ends[a], ends[b] + APART_M]))
    leave, arrive = _angle(out[a], gap), _angle(gap, -out[b])
    if max(abs(leave), abs(arrive)) > MOST_BEND_RAD:
        return None
    # On an arc both angles are equal, on a sideways step they are opposite: their difference is the step.
    lateral = distance * abs(np.sin((leave - arrive) / 2))
    if lateral > config.bridge_lateral_m:
        return None
    cost = distance / config.bridge_gap_m + lateral / config.bridge_lateral_m + abs(turn) / limit
    return Link(cost, a, b, arc_between(ends[a], ends[b], out[a], -out[b]))


def _angle(u: F64, v: F64) -> float:
    """Return the signed angle from u to v in radians."""
    return float(np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v))
