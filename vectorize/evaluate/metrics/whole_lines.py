"""Dividers joined where only their style changes: the convention of maps whose lines run on through such places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64
from vectorize import polyline
from vectorize.road_map import MIRRORED, PER_VERTEX, Element

MEET_M = 0.1  # between two ends of one line
STRAIGHT_ON_COS = float(np.cos(np.radians(45.0)))  # of the turn there: more is a corner of two lines
NO_LENGTH_M = 1e-6  # keeps weights of pieces without length above zero

End = tuple[int, int]  # number of the element; 0 its first vertex, 1 its last


def whole_lines(elements: Sequence[Element]) -> list[Element]:
    """Return elements of one class with open lines joined end to end where their style changes.

    Two ends join if they meet alone, go straight on, and differ in style: a fork stays a fork. A joined line has the
    style of most of its metres, and the mean score by length.
    """
    partner = _partners(elements)
    loose_first = sorted(range(len(elements)), key=lambda i: ((i, 0) in partner) + ((i, 1) in partner))
    done: set[int] = set()
    result: list[tuple[int, Element]] = []
    for start in loose_first:
        chain: list[int] = []
        parts: list[Element] = []
        at: End | None = (start, 1 if (start, 0) in partner and (start, 1) not in partner else 0)
        while at is not None and at[0] not in done:
            number, enter = at
            done.add(number)
            chain.append(number)
            parts.append(elements[number] if enter == 0 else elements[number].reversed())
            at = partner.get((number, 1 - enter))
        if parts:
            result.append((min(chain), parts[0] if len(parts) == 1 else _joined(parts)))
    return [element for _, element in sorted(result, key=lambda one: one[0])]


def _partners(elements: Sequence[Element]) -> dict[End, End]:
    """Return for every end that joins another the other one."""
    ends: list[End] = [(i, side) for i, e in enumerate(elements) if not e.closed for side in (0, 1)]
    if not ends:
        return {}
    places = np.array([elements[i].vertices[-side, :2] for i, side in ends])
    near = cKDTree(places).query_ball_point(places, MEET_M)
    partner: dict[End, End] = {}
    for own, others in enumerate(near):
        if len(others) != 2:
            continue
        other = others[0] if others[1] == own else others[1]
        one, two = ends[own], ends[other]
        first, second = elements[one[0]], elements[two[0]]
        alone = one[0] != two[0] and len(near[other]) == 2
        # Of a solid line beside a dashed one, the sides are those of the direction, which turns where two starts meet.
        goes_on = MIRRORED.get(second.style, second.style) if one[1] == two[1] else second.style
        if alone and first.style != goes_on and -_outwards(first, one) @ _outwards(second, two) > STRAIGHT_ON_COS:
            partner[one] = two
    return partner


def _outwards(element: Element, end: End) -> F64:
    """Return the direction (2,) in which a line leaves its end."""
    xy = element.vertices[:, :2] if end[1] else element.vertices[::-1, :2]
    last = int(np.flatnonzero(np.hypot(*(xy - xy[-1]).T) > MEET_M)[-1:].sum())  # a doubled last vertex says nothing
    step = xy[-1] - xy[last]
    direction: F64 = step / max(float(np.hypot(*step)), NO_LENGTH_M)
    return direction


def _joined(parts: Sequence[Element]) -> Element:
    lengths = [max(polyline.length_of(e.vertices), NO_LENGTH_M) for e in parts]
    columns = min(e.vertices.shape[1] for e in parts)
    rows = [np.s_[min(number, 1) :] for number in range(len(parts))]  # neighbours share their vertex
    arrays: dict[str, Any] = {
        n: np.concatenate([getattr(e, n)[r] for e, r in zip(parts, rows, strict=True)]) for n in PER_VERTEX
    }
    metres: dict[str, float] = {}
    for element, length in zip(parts, lengths, strict=True):
        metres[element.style] = metres.get(element.style, 0.0) + length
    longest = max(parts, key=lambda e: metres[e.style])
    return replace(
        longest,
        vertices=np.concatenate([e.vertices[r, :columns] for e, r in zip(parts, rows, strict=True)]),
        score=float(np.average([e.score for e in parts], weights=lengths)),
        **arrays,
    )
