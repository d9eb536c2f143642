"""Tracing a site of any size: window by window, cut at straight seams and welded there.

A window shows more around its core than the longest bridge and the widest road: what the two sides of a seam trace
there comes from the same cells. Each line is cut at the seams, each core keeps its own part, and parts that end at one
place of a seam become one line again. Crossings, stop lines and islands are kept whole, by the core that holds their
middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, Bool
from recon.bev.bev_map import BevBlocks
from recon.errors import NoRoadFound
from recon.geo_origin import GeoOrigin
from recon.progress import Tick, silent
from vectorize import polyline
from vectorize.road_map import AREA_CLASSES, PER_VERTEX, Element, RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig
from vectorize.windows import CORE_BLOCKS, Core, cores_of, is_one_window, window

End = tuple[int, int]  # piece, and 0 for its first vertex or 1 for its last

CONTEXT_M = 10.0  # around a core beyond those: their ends need some length to be judged
WELD_M = 0.3  # between the cut ends of one line: each window simplifies by itself
STRAIGHT_M = 0.02  # a seam's vertex this close to its neighbours' chord is redundant
NO_LENGTH_M = 1e-6  # keeps weights of pieces without length above zero
CLASS_ORDER = ("divider", "boundary", "ped_crossing", "stop_line", "centerline", "hatched")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """What a core keeps of an element."""

    element: Element
    cut: tuple[bool, bool]  # whether its first and its last vertex lie on a seam


def trace_site(
    bev: BevBlocks,
    config: TraceConfig,
    *,
    origin: GeoOrigin | None = None,
    trips: Sequence[str] = (),
    tick: Tick = silent,
    core_blocks: int | None = None,
) -> RoadMap:
    """Return the vector map of a site, as `trace` does; a small one goes through it as a whole.

    `core_blocks` sets the number of blocks of a window, whatever the size of the site.
    """
    if core_blocks is None and is_one_window(bev):
        return trace(bev.whole(), config, origin=origin, trips=trips, tick=tick)
    reach = max(config.bridge_gap_m, config.guided_gap_m, config.crossing_pair.max_road_m) + CONTEXT_M
    pieces: list[Piece] = []
    names, found_road = tuple(trips), False
    cores = cores_of(bev, most_blocks=core_blocks or CORE_BLOCKS)
    for done, core in enumerate(cores):
        tick(done, len(cores), "windows")
        try:
            part = trace(window(bev, core, reach), config, trips=trips)
        except NoRoadFound:
            continue  # a window without road is empty; a site without any is refused below
        names, found_road = max(names, part.trips, key=len), True
        pieces += [piece for element in part.elements for piece in _kept(element, core, reach)]
    if not found_road:
        hint = "Check the calibration and the class map: no image showed road within the corridor."
        raise NoRoadFound(hint=hint)
    shortest = {"divider": config.min_divider_m, "boundary": config.min_boundary_m}
    lines = [
        e for e in _welded(pieces) if e.closed or polyline.length_of(e.vertices) >= shortest.get(e.element_class, 0)
    ]
    return RoadMap(elements=tuple(sorted(lines, key=_order)), origin=origin, trips=names)


def _order(element: Element) -> tuple[float, ...]:
    place = CLASS_ORDER.index(element.element_class)
    return (place, -element.closed, -polyline.length_of(element.vertices), *element.vertices[0].tolist())


def _kept(element: Element, core: Core, reach_m: float) -> list[Piece]:
    """Return what a core keeps of an element."""
    xy = element.vertices[:, :2]
    small = element.closed and float(np.ptp(xy, axis=0).max()) <= reach_m
    if element.element_class in (*AREA_CLASSES, "stop_line") or small:
        return [Piece(element=element, cut=(False, False))] if core.holds(xy.mean(axis=0)) else []
    inside = core.holds(xy)
    if inside.all():
        return [Piece(element=element, cut=(False, False))]
    if element.closed:  # walk the ring from a vertex beyond the core, so that no piece starts inside
        first, count = int(np.argmin(inside)), len(xy)
        element = element.take(np.r_[first:count, 0 : first + 1], closed=False)
    last = len(element.vertices) - 1
    high_m = np.nextafter(core.high_m, -np.inf)  # what runs along a seam is in one core only, as its vertices are
    return [
        Piece(element=element.at(where, part), cut=(bool(where[0] > 0), bool(where[-1] < last)))
        for part, where in polyline.clip_to_box(element.vertices, core.low_m, high_m)
    ]


def _welded(pieces: list[Piece]) -> list[Element]:
    """Join pieces whose cut ends meet, nearest first; each end once, and only with another piece of its class."""
    ends: list[End] = [(i, side) for i, piece in enumerate(pieces) for side in (0, 1) if piece.cut[side]]
    partner: dict[End, End] = {}
    if len(ends) > 1:
        places = np.array([pieces[i].element.vertices[-side, :2] for i, side in ends])
        pairs = cKDTree(places).query_pairs(WELD_M, output_type="ndarray")
        away = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
        for pair in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], away))].tolist():
            one, other = (ends[k] for k in sorted(pair))
            same = pieces[one[0]].element.element_class == pieces[other[0]].element.element_class
            if same and one[0] != other[0] and one not in partner and other not in partner:
                partner[one], partner[other] = other, one
    done: set[int] = set()
    result = []
    loose_first = sorted(range(len(pieces)), key=lambda i: ((i, 0) in partner) + ((i, 1) in partner))
    for start in loose_first:
        if start in done:
            continue
        chain: list[Element] = []
        at: End | None = (start, 1 if (start, 0) in partner and (start, 1) not in partner else 0)
        while at is not None and at[0] not in done:
            index, enter = at
            done.add(index)
            element = pieces[index].element
            chain.append(element if enter == 0 else element.reversed())
            at = partner.get((index, 1 - enter))
        result.append(_joined(chain, closed=at is not None and len(chain) > 1))
    return result


def _joined(chain: list[Element], *, closed: bool) -> Element:
    """Return a chain of pieces as one element; a chain that comes back to its start is a ring."""
    if len(chain) == 1:
        return chain[0]
    arrays = {n: np.concatenate([getattr(e, n) for e in chain]) for n in ("vertices", *PER_VERTEX)}
    starts = np.cumsum([0] + [len(e.vertices) for e in chain])[:-1]
    vertices, count = arrays["vertices"], len(arrays["vertices"])
    keep = np.ones(count, dtype=bool)
    for start in starts[0 if closed else 1 :].tolist():
        # Both pieces end at the seam, millimetres apart: one vertex half-way stands for both, if any is needed.
        before = start - 1
        vertices[start] = vertices[before] = (vertices[before] + vertices[start]) / 2
        keep[before] = False
        near = vertices[[before - 1, start, (start + 1) % count], :2]
        same = arrays["seen"][before - 1] == arrays["seen"][start] == arrays["seen"][(start + 1) % count]
        keep[start] = not same or _off_chord(near) > STRAIGHT_M
    lengths = [polyline.length_of(e.vertices) for e in chain]
    kept: dict[str, Any] = {name: array[keep] for name, array in arrays.items()} | _views_and_trips(arrays, keep)
    styles = {e.style: sum(n for n, o in zip(lengths, chain, strict=True) if o.style == e.style) for e in chain}
    return replace(
        chain[0],
        **kept,
        closed=closed,
        score=float(np.average([e.score for e in chain], weights=np.maximum(lengths, NO_LENGTH_M))),
        style=max(styles, key=lambda style: (styles[style], style)),
    )


def _views_and_trips(arrays: dict[str, Any], keep: Bool) -> dict[str, Any]:
    """Return views and trips of the kept vertices, which now stand for the stretches of the dropped ones too."""
    picked = np.flatnonzero(keep)
    borders = polyline.stretches(picked, len(keep))
    same = arrays["seen"] == np.repeat(arrays["seen"][picked], np.diff(borders))
    steps = np.hypot(*np.diff(arrays["vertices"][:, :2], axis=0).T)
    weight = same * (np.r_[steps, 0.0] + np.r_[0.0, steps] + NO_LENGTH_M) / 2
    views = np.add.reduceat(weight * arrays["views"], borders[:-1]) / np.add.reduceat(weight, borders[:-1])
    trips = np.bitwise_or.reduceat(arrays["trips"] * same, borders[:-1])
    return {"views": np.rint(views).astype(np.uint16), "trips": trips}


def _off_chord(points: F64) -> float:
    """Return how far the middle of three points (3, 2) lies from the line through the others."""
    chord, offset = points[2] - points[0], points[1] - points[0]
    length = float(np.hypot(*chord))
    return abs(float(chord[0] * offset[1] - chord[1] * offset[0])) / length if length > 0 else float(np.hypot(*offset))
