"""Collinear pieces of paint become one divider; no divider crosses another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree
from shapely import LineString, STRtree

from recon.arrays import F64
from vectorize import polyline
from vectorize.config import TraceConfig
from vectorize.trace.lines.strand import STEP_M, Strand

BASE_M = 6.0  # a straight dash is at most this long
COURSE_M = 20.0
CURVE_M = 8.0  # from this length on a line's own curvature can be measured
HAZE_PAINT, HAZE_WIDTH_M = 0.4, 0.4  # both: gutter seams, rail heads and sun spots rather than a worn line
TOUCH_M = 0.15  # ends closer than this have no measurable direction between them


@dataclass(frozen=True, slots=True)
class Link:
    """A possible bridge between end `a` and end `b`; an end is 2 * strand + (0 first vertex, 1 last vertex)."""

    cost: float
    a: int
    b: int
    curve: F64  # (M, 2) from end a to end b


def bridge(strands: list[Strand], config: TraceConfig, barriers: list[LineString]) -> list[Strand]:
    """Join strands whose ends continue each other, best pair first, each end once, never across a line.

    Two ends fit when the turn between them is at most `bridge_angle_deg`, the gap at most `bridge_gap_m`, and the
    lateral step, left over after the arc that best joins them, at most `bridge_lateral_m`. Haze (faint and wide)
    carries no gap longer than itself. Short gaps go first, so
    that the longer ones are judged with the better directions of longer pieces.
    """
    for share in (0.4, 0.7, 1.0):
        for _ in range(8):
            joined = _round(strands, config, config.bridge_gap_m * share, barriers)
            if len(joined) == len(strands):
                break
            strands = joined
    return strands


def _round(strands: list[Strand], config: TraceConfig, gap_m: float, barriers: list[LineString]) -> list[Strand]:
    if len(strands) < 2:
        return strands
    ends = np.array([point for s in strands for point in (s.xy_m[0], s.xy_m[-1])])
    straight = np.array([d for s in strands for d in (s.reversed().end_direction(BASE_M), s.end_direction(BASE_M))])
    # A line's end is judged as straight, as curved, and by its longer course: a worn end has no curvature worth
    # the name, and a row of dashes tells its direction better than its last dash does.
    curved = [
        np.array([d for s in strands for d in (_leaving(s.reversed(), base), _leaving(s, base))])
        for base in (CURVE_M, COURSE_M)
    ]
    hypotheses = (straight, *curved)
    reach = np.array([r for s in strands for r in (_reach(s.reversed()), _reach(s))])
    dash_m = np.repeat([s.length_m if s.length_m < CURVE_M else 0.0 for s in strands], 2)
    pairs = cKDTree(ends).query_pairs(gap_m, output_type="ndarray")
    pairs = pairs[pairs[:, 0] // 2 != pairs[:, 1] // 2]
    links = []
    for a, b in pairs.tolist():
        if np.hypot(*(ends[b] - ends[a])) > min(reach[a], reach[b]):
            continue
        judged = (_judge(a, b, ends, out, config, (dash_m[a] + dash_m[b]) / 2) for out in hypotheses)
        fits = [fit for fit in judged if fit is not None]
        links += sorted(fits, key=lambda fit: fit.cost)[:1]
    links.sort(key=lambda link: (link.cost, link.a, link.b))
    lines = [LineString(s.xy_m) for s in strands]
    walls = STRtree([*lines, *barriers])
    taken: set[int] = set()
    accepted: list[Link] = []
    curves: list[LineString] = []
    for link in links:
        if link.a in taken or link.b in taken:
            continue
        curve = LineString(link.curve)
        own = {link.a // 2, link.b // 2}
        hits = set(walls.query(curve, predicate="intersects").tolist()) - own
        if hits or any(curve.intersects(other) for other in curves):
            continue
        taken |= {link.a, link.b}
        accepted.append(link)
        curves.append(curve)
    return chain(strands, accepted)


def _reach(strand: Strand) -> float:
    """Return the longest gap that the end of a strand may carry: paint that is both faint and wide, its own length."""
    bridged = np.flatnonzero(strand.bridged)
    paint = strand.paint[int(bridged[-1]) + 1 if bridged.size else 0 :]
    hazy = not paint.size or (float(paint.mean()) < HAZE_PAINT and strand.width_m > HAZE_WIDTH_M)
    return len(paint) * STEP_M if hazy else np.inf


def _leaving(strand: Strand, base_m: float) -> F64:
    """Return the direction of the last vertex: along a short dash, on the fitted curve of a longer line."""
    return strand.end_direction(BASE_M) if strand.length_m < base_m else strand.end_tangent(base_m)


def _judge(a: int, b: int, ends: F64, out: F64, config: TraceConfig, dash_m: float) -> Link | None:
    """Return the bridge between two ends, or None where they do not continue each other.

    A dash tells its direction at its middle, so on a curve the turn between two dashes is that of the gap and of half
    of each dash: `dash_m`. Only the gap's share of it counts.
    """
    gap = ends[b] - ends[a]
    distance = float(np.hypot(*gap))
    turn = _angle(out[a], -out[b])
    limit = np.radians(config.bridge_angle_deg)
    share = distance / (distance + dash_m) if distance >= TOUCH_M else 1.0
    if abs(turn) * share > limit or abs(turn) > 2 * limit:
        return None
    if distance < TOUCH_M:
        return Link(abs(turn), a, b, np.stack([ends[a], ends[b] + 1e-9]))
    leave, arrive = _angle(out[a], gap), _angle(gap, -out[b])
    if max(abs(leave), abs(arrive)) > np.pi / 3:
        return None
    # On an arc both angles are equal, on a sideways step they are opposite: their difference is the step.
    lateral = distance * abs(np.sin((leave - arrive) / 2))
    if lateral > config.bridge_lateral_m:
        return None
    cost = distance / config.bridge_gap_m + lateral / config.bridge_lateral_m + abs(turn) / max(limit, 1e-9)
    return Link(cost, a, b, _hermite(ends[a], ends[b], out[a], -out[b]))


def _angle(u: F64, v: F64) -> float:
    """Return the signed angle from u to v in radians."""
    return float(np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v))


def _hermite(start: F64, end: F64, leave: F64, arrive: F64) -> F64:
    """Return a curve about STEP_M apart that leaves and arrives in the given directions."""
    distance = float(np.hypot(*(end - start)))
    t = np.linspace(0.0, 1.0, max(2, round(distance / STEP_M) + 1))[:, None]
    basis = (2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, -2 * t**3 + 3 * t**2, t**3 - t**2)
    result: F64 = basis[0] * start + distance * (basis[1] * leave + basis[3] * arrive) + basis[2] * end
    return result


def chain(strands: list[Strand], links: list[Link]) -> list[Strand]:
    """Join strands along accepted links."""
    partner: dict[int, tuple[int, F64]] = {}
    for link in links:
        partner[link.a] = (link.b, link.curve)
        partner[link.b] = (link.a, link.curve[::-1])
    done: set[int] = set()
    result = []
    loose_first = sorted(range(len(strands)), key=lambda i: (2 * i in partner) + (2 * i + 1 in partner))
    for start in loose_first:
        if start in done:
            continue
        entry = 2 * start if 2 * start not in partner else 2 * start + 1
        pieces: list[Strand] = []
        while entry // 2 not in done:
            index = entry // 2
            done.add(index)
            pieces.append(strands[index] if entry % 2 == 0 else strands[index].reversed())
            following = partner.get(entry ^ 1)
            if following is None:
                break
            entry, curve = following
            if entry // 2 not in done and len(curve) > 2:
                inner = curve[1:-1]
                pieces.append(
                    Strand(
                        xy_m=inner,
                        paint=np.zeros(len(inner)),
                        bridged=np.ones(len(inner), dtype=bool),
                        faint=np.zeros(len(inner), dtype=bool),
                        width_m=0.0,
                    )
                )
        result.append(concatenate(pieces))
    return result


def concatenate(pieces: list[Strand]) -> Strand:
    """Return the pieces as one strand; its width is the widths' mean, weighted by length."""
    if len(pieces) == 1:
        return pieces[0]
    painted = [p for p in pieces if p.width_m > 0]
    weights = np.array([len(p.xy_m) for p in painted])
    return Strand(
        xy_m=np.concatenate([p.xy_m for p in pieces]),
        paint=np.concatenate([p.paint for p in pieces]),
        bridged=np.concatenate([p.bridged for p in pieces]),
        faint=np.concatenate([p.faint for p in pieces]),
        width_m=float(np.average([p.width_m for p in painted], weights=weights)),
    )


def uncross(lines: list[F64], weight: list[float]) -> list[list[tuple[int, int]]]:
    """Return, for every polyline, the vertex spans (start, stop) to keep so that no two lines cross.

    Where two cross, the lighter gives way: it loses the segments that touch the other and keeps what remains.
    """
    order = sorted(range(len(lines)), key=lambda i: (-weight[i], i))
    kept: list[list[tuple[int, int]]] = [[] for _ in lines]
    shapes = [LineString(line) for line in lines]
    tree = STRtree(shapes)
    rank = {index: position for position, index in enumerate(order)}
    for index in order:
        stronger = [o for o in tree.query(shapes[index], predicate="intersects").tolist() if rank[o] < rank[index]]
        good = np.ones(len(lines[index]) - 1, dtype=bool)
        if stronger:
            others = shapely.union_all([shapes[o] for o in stronger])
            shapely.prepare(others)
            segments = shapely.linestrings(np.stack([lines[index][:-1], lines[index][1:]], axis=1))
            good = ~shapely.intersects(others, segments)
        kept[index] = [(a, b + 1) for a, b in polyline.runs(good)]
    return kept
