"""`trace`: from the raster of a site to its vector map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import uniform_filter1d
from shapely import Geometry, LineString, Polygon

from recon.arrays import F64, I64, U16, U64, Bool
from recon.bev.bev_map import BevMap
from recon.errors import NoRoadFound
from recon.geo_origin import GeoOrigin
from recon.progress import Tick, silent
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.road_map import Element, ElementClass, RoadMap
from vectorize.trace.confidence import BACKGROUND, STRIP, bridge_discount, curve, within
from vectorize.trace.contour import Edge, find_edges
from vectorize.trace.crossings.crosswalk import find_crossings
from vectorize.trace.crossings.seen_ring import moved_inward, with_ends_of_view
from vectorize.trace.crossings.stop_line import find_stop_lines
from vectorize.trace.hatching.hatched import find_hatched
from vectorize.trace.lines.bridge import bridge
from vectorize.trace.lines.divider import find_lines
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.lines.strip import Breadth
from vectorize.trace.lines.uncross import uncross
from vectorize.trace.road_sides import RoadSides
from vectorize.trace.styles.style import Stretch, lines_of, stretches_of, trips_along
from vectorize.trace.styles.twins import Line
from vectorize.trace_config import TraceConfig

CROSSING_MARGIN_M = 0.3  # around a crossing: its paint is blurred
CROSSING_SHARE = 0.8  # of a line that lies in a crossing
HATCHED_IN_CROSSING = 0.3  # of an area of bars that lies in a crossing whose stripes they are
STEPS = 4  # of progress: areas, lines, their elements, boundaries
BARRIER_SHARES = 0.8, 0.2  # of a stop line and of its middle, in the line that stops bridges: edge lines pass its ends
BRIGHT_OFFSETS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # in cells across a line, where its brightest paint is searched
BRIGHT_VERTICES = 5  # over which that is averaged along the line


def trace(
    bev: BevMap,
    config: TraceConfig,
    *,
    origin: GeoOrigin | None = None,
    trips: Sequence[str] = (),
    tick: Tick = silent,
) -> RoadMap:
    """Return the vector map of a site; raises NoRoadFound if no drivable cell was seen.

    `trips` names the raster's trips in the order of their bits; by default they are named "trip 1" and so on.
    """
    evidence = Evidence.of(bev, min_views=config.min_views)
    if not (evidence.known & (evidence.drivable > 0.5)).any():
        hint = "Check the calibration and the class map: no image showed road within the corridor."
        raise NoRoadFound(hint=hint)
    tick(0, STEPS, "classes")
    crossings = find_crossings(evidence, config)
    edges = find_edges(evidence, config)
    sides = RoadSides.of([e.strand.xy_m for e in edges])
    hatched = find_hatched(evidence, [e.strand.xy_m for e in edges], config)
    evidence = hatched.rest
    stop_lines, edge_lines = find_stop_lines(evidence, [ring for ring, _ in crossings], sides, config.stop_line)
    evidence = evidence.with_markings(edge_lines)
    tick(1, STEPS, "classes")
    # A divider ends at a crossing or a stop line: no bridge may run through them.
    barriers: list[Geometry] = [Polygon(ring) for ring, _ in crossings]
    barriers += [LineString(BARRIER_SHARES[0] * line + BARRIER_SHARES[1] * line.mean(axis=0)) for line, _ in stop_lines]
    lines = find_lines(evidence, config, barriers, sides)
    tick(2, STEPS, "classes")
    dividers = _dividers(evidence, lines_of(evidence, lines.dividers, config), config)
    stops = [_straight(evidence, line, value) for line, value in stop_lines]
    painted = [_straight(evidence, s.xy_m[[0, -1]], float(s.paint.mean())) for s in lines.stop_lines]
    stops += [p for p in painted if all(_distance_m(p, s) > config.stop_line.same_m for s in stops)]
    within = [Polygon(ring).buffer(CROSSING_MARGIN_M) for ring, _ in crossings]
    # Paint in a crossing belongs to the crossing, whatever its label.
    stops, dividers = ([e for e in found if not _lies_in(e, within)] for found in (stops, dividers))
    tick(3, STEPS, "classes")
    boundaries = _boundaries(evidence, edges, config)
    areas = [_area(evidence, ring, value, "ped_crossing") for ring, value in crossings]
    free = [(ring, value) for ring, value in hatched.areas if not _mostly_in(Polygon(ring), within)]
    areas += [_area(evidence, ring, value, "hatched") for ring, value in free]
    tick(4, STEPS, "classes")
    names = trips or [f"trip {number + 1}" for number in range(int(evidence.trips.max(initial=0)).bit_length())]
    return RoadMap(elements=(*dividers, *boundaries, *areas, *stops), origin=origin, trips=tuple(names))


def _confidence(evidence: Evidence, strand: Strand, seen: Bool, element_class: ElementClass) -> F64:
    """Return (N,) confidence after the formula of `vectorize.trace.confidence`."""
    # An edge is `faint` where it lies against BACKGROUND, and its evidence is halved there already.
    discount = np.where(strand.faint, BACKGROUND, 1.0) if element_class == "boundary" else np.ones(len(seen))
    value = curve(element_class, strand.paint / discount * evidence.sample(evidence.trust, strand.xy_m)) * discount
    value *= within(evidence.aside_m(strand.xy_m, polyline.tangents(strand.xy_m)))
    for start, stop in polyline.runs(strand.bridged):
        ends = [value[i] for i in (start - 1, stop) if 0 <= i < len(value)]
        value[start:stop] = float(np.mean(ends)) if ends else 0.0
        # The gaps of a row of dashes are part of it: only what is missing beyond them was inferred.
        missing_m = max(0.0, (stop - start) * STEP_M - strand.gap_m)
        value[start:stop] *= bridge_discount(missing_m, seen[start:stop])
    result: F64 = np.clip(value, 0.0, 1.0)
    return result


def _brightness(evidence: Evidence, strand: Strand) -> F64:
    """Return (N,) marking probability within a cell of the line, unsmoothed: a thin line fills no smoothing window."""
    places = polyline.across(strand.xy_m, evidence.grid.cell_m * BRIGHT_OFFSETS)
    brightest = evidence.sample(evidence.marking, places).max(axis=1)
    result: F64 = uniform_filter1d(brightest, BRIGHT_VERTICES, mode="nearest")
    return result


def _element(
    evidence: Evidence,
    strand: Strand,
    config: TraceConfig,
    *,
    element_class: ElementClass,
    closed: bool = False,
    keep: Sequence[int] = (),
) -> tuple[Element, I64]:
    """Return a simplified strand and the indices of its vertices.

    Vertices stay where what was seen or inferred changes, and at those in `keep`.
    """
    seen = evidence.is_known(strand.xy_m)
    dense = _confidence(evidence, strand, seen, element_class)
    state = seen.astype(np.int8) + 2 * strand.bridged
    change = np.concatenate([[False], state[1:] != state[:-1]])
    change[:-1] |= change[1:]
    change[list(keep)] = True
    kept = polyline.simplify(strand.xy_m, config.simplify_m, keep=change, closed=closed)
    vertices = evidence.with_height(strand.xy_m)[kept]
    borders = polyline.stretches(kept, len(dense))
    sums = np.concatenate([[0.0], np.cumsum(dense)])
    mean = (sums[borders[1:]] - sums[borders[:-1]]) / np.maximum(np.diff(borders), 1)
    views, trips = evidence.views_and_trips(strand.xy_m, kept)
    element = Element(
        element_class=element_class,
        vertices=vertices,
        seen=seen[kept],
        confidence=mean.astype(np.float32),
        score=float(dense.mean()),
        closed=closed,
        views=views,
        trips=trips,
    )
    return element, kept


def _dividers(evidence: Evidence, lines: list[Line], config: TraceConfig) -> list[Element]:
    """Return divider elements of one style each, no two of which cross, checked on the vertices that are published."""
    elements, styles = [], []
    for line in lines:
        trips = trips_along(evidence, line.strand)
        breadth = Breadth.of(evidence, line.strand)
        if not line.beside.any() and breadth.is_strip(config.divider, trips=trips):
            continue
        stretches = stretches_of(evidence, line, config.style)
        bright = replace(line.strand, paint=_brightness(evidence, line.strand))
        borders = [one.start for one in stretches[1:]]
        element, kept = _element(evidence, bright, config, element_class="divider", keep=borders)
        is_double = any(one.style == "double" for one in stretches)
        # Equal dashes at one period are paint: no strip of another surface is laid in such pieces.
        is_row = line.strand.gap_m > 0
        if not is_double and not is_row and breadth.is_doubtful(config.divider, trips=trips):
            element = replace(element, confidence=STRIP * element.confidence, score=STRIP * element.score)
        elements.append(element)
        cuts = [0, *np.searchsorted(kept, borders).tolist(), len(kept) - 1]
        styles.append([Stretch(a, b, one.style) for a, b, one in zip(cuts, cuts[1:], stretches, strict=False)])
    lengths = [polyline.length_of(e.vertices) for e in elements]
    spans = uncross(
        [e.vertices[:, :2] for e in elements], [n * e.score for n, e in zip(lengths, elements, strict=True)]
    )
    result = []
    for element, stretches, kept_spans in zip(elements, styles, spans, strict=True):
        for start, stop in kept_spans:
            if polyline.length_of(element.vertices[start:stop]) >= config.min_divider_m:
                result += _split(element, stretches, start, stop - 1)
    return sorted(result, key=_order)


def _split(element: Element, stretches: Sequence[Stretch], first: int, last: int) -> list[Element]:
    """Return the vertices first..last of an element as one element a style; neighbours share their vertex."""
    spans = ((max(first, one.start), min(last, one.stop), one.style) for one in stretches)
    parts = [(element.take(slice(a, b + 1), closed=False), style) for a, b, style in spans if b > a]
    return [replace(part, style=style, score=_score(part, element)) for part, style in parts]


def _score(part: Element, whole: Element) -> float:
    """Return the score of a part of a line: the confidence of its own vertices, weighted by what each stands for."""
    if len(part.vertices) == len(whole.vertices):
        return whole.score
    half = np.hypot(*np.diff(part.vertices[:, :2], axis=0).T) / 2
    return float(np.average(part.confidence, weights=np.r_[half, 0.0] + np.r_[0.0, half]))


def _order(element: Element) -> tuple[float, ...]:
    return (-polyline.length_of(element.vertices), *element.vertices[0].tolist())


def _boundaries(evidence: Evidence, edges: list[Edge], config: TraceConfig) -> list[Element]:
    result = [_element(evidence, e.strand, config, element_class="boundary", closed=True)[0] for e in edges if e.closed]
    boundary = config.boundary
    gap_m = min(boundary.bridge_gap_m, config.bridge_gap_m)
    near = replace(config, bridge_gap_m=gap_m, bridge_angle_deg=boundary.bridge_angle_deg)
    for strand in bridge([e.strand for e in edges if not e.closed], near, []):
        if strand.length_m >= config.min_boundary_m:
            result.append(_element(evidence, strand, config, element_class="boundary")[0])
    return result


def _straight(evidence: Evidence, line: F64, value: float) -> Element:
    """Return a stop line from its two ends."""
    dense = polyline.resample(line, STEP_M)
    trust = float(evidence.sample(evidence.trust, dense).mean())
    near = within(evidence.aside_m(dense, polyline.tangents(dense))).mean()
    score = float(curve("stop_line", np.array([value * trust]))[0] * near)
    views, trips = evidence.views_and_trips(dense, np.array([0, len(dense) - 1]))
    return Element(
        element_class="stop_line",
        vertices=evidence.with_height(line),
        seen=evidence.is_known(line),
        confidence=np.full(2, score, dtype=np.float32),
        score=score,
        style="solid",
        views=views,
        trips=trips,
    )


def _lies_in(element: Element, areas: Sequence[Polygon]) -> bool:
    line = LineString(element.vertices[:, :2])
    return any(line.intersection(area).length > CROSSING_SHARE * line.length for area in areas)


def _distance_m(one: Element, other: Element) -> float:
    return float(LineString(one.vertices[:, :2]).distance(LineString(other.vertices[:, :2])))


def _mostly_in(area: Polygon, others: Sequence[Polygon]) -> bool:
    return any(area.intersection(other).area > HATCHED_IN_CROSSING * area.area for other in others)


def _area(evidence: Evidence, ring: F64, value: float, element_class: ElementClass) -> Element:
    ring = with_ends_of_view(evidence, ring)
    inward = moved_inward(ring, ring.mean(axis=0))
    confidence = curve(element_class, value * evidence.sample(evidence.trust, inward))
    confidence *= within(evidence.aside_m(inward, polyline.tangents(ring, closed=True)))
    views, trips = _ring_views_and_trips(evidence, inward)
    return Element(
        element_class=element_class,
        vertices=evidence.with_height(ring),
        seen=evidence.is_known(inward),
        confidence=confidence.astype(np.float32),
        score=float(confidence.mean()),
        closed=True,
        views=views,
        trips=trips,
    )


def _ring_views_and_trips(evidence: Evidence, ring: F64) -> tuple[U16, U64]:
    """Return views and trips of a ring's vertices, from the halves of the two sides that meet in each."""
    sides = [
        polyline.resample(np.stack(ends), STEP_M)[:-1] for ends in zip(ring, np.roll(ring, -1, axis=0), strict=True)
    ]
    starts = np.cumsum([0, *(len(side) for side in sides[:-1])])
    shift = len(sides[-1]) // 2  # walked from the middle of the last side on, no stretch is cut
    return evidence.views_and_trips(np.roll(np.concatenate(sides), shift, axis=0), starts + shift)
