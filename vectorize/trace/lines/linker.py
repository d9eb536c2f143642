"""Greedy linking of strand ends: the best link first, each end once, never across a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from shapely import Geometry, LineString, STRtree

from recon.arrays import F64
from vectorize import polyline
from vectorize.trace.lines.strand import STEP_M, Strand


@dataclass(frozen=True, slots=True)
class Link:
    """A possible bridge between end `a` and end `b`; an end is 2 * strand + (0 first vertex, 1 last vertex)."""

    cost: float
    a: int
    b: int
    curve: F64  # (M, 2) from end a to end b


def link(strands: list[Strand], candidates: Sequence[Link], barriers: Sequence[Geometry]) -> list[Strand]:
    """Join strands along the candidates of least cost whose ends are free and which cross nothing.

    A link may touch its own two strands, but no other strand, no barrier and no link that was accepted before it.
    """
    walls = STRtree([*(LineString(s.xy_m) for s in strands), *barriers])
    taken: set[int] = set()
    accepted: list[Link] = []
    curves: list[LineString] = []
    for candidate in sorted(candidates, key=lambda one: (one.cost, one.a, one.b)):
        if candidate.a in taken or candidate.b in taken:
            continue
        curve = LineString(candidate.curve)
        own = {candidate.a // 2, candidate.b // 2}
        hits = set(walls.query(curve, predicate="intersects").tolist()) - own
        if hits or any(curve.intersects(other) for other in curves):
            continue
        taken |= {candidate.a, candidate.b}
        accepted.append(candidate)
        curves.append(curve)
    return _chained(strands, accepted)


def _chained(strands: list[Strand], links: list[Link]) -> list[Strand]:
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
            if entry // 2 not in done:
                pieces += bridge_strand(curve[1:-1])
        result.append(concatenated(pieces))
    return result


def bridge_strand(inner: F64) -> list[Strand]:
    """Return the strand of a bridge from its inner vertices (N, 2), none if it has none."""
    if not len(inner):
        return []
    nothing = np.zeros(len(inner), dtype=bool)
    return [Strand(xy_m=inner, paint=np.zeros(len(inner)), bridged=~nothing, faint=nothing, width_m=0.0)]


def arc_between(start: F64, end: F64, leave: F64, arrive: F64) -> F64:
    """Return a curve (N, 2) about STEP_M apart that leaves and arrives in the given unit directions.

    It is the cubic whose middle lies on the circle, where both directions belong to one.
    """
    distance = float(np.hypot(*(end - start)))
    turn = float(np.arccos(np.clip(leave @ arrive, -1.0, 1.0)))
    speed = distance / np.cos(turn / 4) ** 2
    return polyline.cubic(start, end, speed * leave, speed * arrive, max(2, round(distance / STEP_M) + 1))


def concatenated(pieces: list[Strand]) -> Strand:
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
        gap_m=max(p.gap_m for p in pieces),
    )
