"""Paint across the road: stop lines, and the pairs of lines that are a crossing without stripes.

A class map learns stop lines and the lines of a crossing from the same pixels, and calls the one what is the other.
Geometry tells them apart: a stop line ends at the middle of the road, a crossing has two lines from kerb to kerb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from vectorize import polyline
from vectorize.paint_areas import LEAST, areas_of
from vectorize.seen import Evidence

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LINE_WIDTH_M = 0.7  # a patch no wider is one line or stripe
PAIR_GAP_M = 5.0  # widest between the two lines of a crossing without stripes
CLOSE_M = 0.5  # gap within one line
LONGEST_ROAD_M = 40.0  # from kerb to kerb
SHORTEST_M = 2.0  # piece from which a line across the road is looked for
NARROWEST_M = 1.5  # between the two lines; a stop line lies nearer to a crossing than that
KERB_M = 1.0  # beyond the end of the road its side must have been seen
BESIDE_M = 0.3  # paint this far from a line's axis is that line's
PAINTED_SHARE = 0.65  # of the way from kerb to kerb: wear and vehicles hide the rest
PARALLEL = np.cos(np.radians(10.0))
ALIKE_SHARE = 0.7  # of their length that two lines lie side by side
EMPTY_SHARE = 0.2  # of the place between them that may be painted: more is a zebra or hatching
STEP_M = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossline:
    """A straight line of paint from kerb to kerb."""

    ends: F64  # (2, 2) world metres, of the paint
    value: float  # mean evidence of the paint
    width_m: float

    @property
    def direction(self) -> F64:
        """Return the unit vector (2,) from end to end."""
        step = self.ends[1] - self.ends[0]
        return np.asarray(step / np.hypot(*step), dtype=np.float64)


def find_stop_lines(
    evidence: Evidence, crossings: Sequence[F64], *, min_length_m: float = 1.0
) -> list[tuple[F64, float]]:
    """Return (line (2, 2) in world metres, mean evidence) of each area of STOP_LINE: its axis through the middle.

    What lies in one of the crossings, rings (N, 2), is part of that.
    """
    result = []
    taken = shapely.union_all([shapely.Polygon(ring) for ring in crossings])
    for window, inside, _ in areas_of(evidence, evidence.stop_line, CLOSE_M):
        fitted = _fitted(evidence, window, np.where(inside, evidence.stop_line[window], 0.0))
        if fitted is None:
            continue
        line, value, width_m = fitted
        length_m = float(np.hypot(*(line[1] - line[0])))
        if length_m >= min_length_m and length_m > 1.5 * width_m and not taken.contains(shapely.Point(line.mean(0))):
            result.append((line, value))
    return sorted(result, key=lambda item: tuple(item[0].ravel().tolist()))


def find_line_pairs(evidence: Evidence) -> list[tuple[shapely.Polygon, float]]:
    """Return the rectangle and the mean evidence of each crossing that is painted as two lines across the road."""
    lines = _crosslines(evidence)
    pairs = [
        (gap_m, i, j)
        for i, one in enumerate(lines)
        for j in range(i + 1, len(lines))
        if (gap_m := _gap(one, lines[j])) and not _is_painted(evidence, _between(one, lines[j], -0.5))
    ]
    free, result = set(range(len(lines))), []
    for _, i, j in sorted(pairs):
        if {i, j} <= free:
            free -= {i, j}
            one, other = lines[i], lines[j]
            length = [float(np.hypot(*np.diff(line.ends, axis=0)[0])) for line in (one, other)]
            result.append((_between(one, other, 0.5), float(np.average([one.value, other.value], weights=length))))
    return result


def _fitted(evidence: Evidence, window: tuple[slice, slice], weight: F32) -> tuple[F64, float, float] | None:
    """Return the axis (2, 2) in world metres of weighted cells, their mean weight, and their width across it.

    The width is that of an even strip which spreads as far: a ragged cell does not widen a line.
    """
    rows, columns = np.nonzero(weight > LEAST)
    if len(rows) < 2:
        return None
    px = np.stack([columns + window[1].start + 0.5, rows + window[0].start + 0.5], axis=1)
    xy, w = evidence.grid.to_m(px), weight[rows, columns]
    centre = np.average(xy, axis=0, weights=w)
    spread, axes = np.linalg.eigh(np.cov((xy - centre).T, aweights=w))
    along = (xy - centre) @ axes[:, 1]
    # Half a cell stands out beyond the outermost centres; the 1 % tails are ragged pixels.
    low, high = np.quantile(along, [0.01, 0.99])
    length = float(high - low) + evidence.grid.cell_m
    line = centre + np.array([[-0.5], [0.5]]) * length * axes[:, 1] + (low + high) / 2 * axes[:, 1]
    return line, float(np.clip(w.mean(), 0, 1)), float(np.sqrt(12.0 * max(spread[0], 0.0)))


def _crosslines(evidence: Evidence) -> list[Crossline]:
    """Return the lines from kerb to kerb, each once though its paint may lie in pieces."""
    paint = evidence.crosswalk + evidence.stop_line + evidence.other_marking
    pieces = []
    for window, inside, _ in areas_of(evidence, paint, CLOSE_M):
        fitted = _fitted(evidence, window, np.where(inside, paint[window], np.float32(0)))
        if fitted is not None:
            length_m = float(np.hypot(*(fitted[0][1] - fitted[0][0])))
            if length_m >= SHORTEST_M and fitted[2] <= LINE_WIDTH_M:
                pieces.append((length_m, fitted[0]))
    found: list[Crossline] = []
    for _, axis in sorted(pieces, key=lambda piece: (-piece[0], *piece[1].ravel().tolist())):
        middle = shapely.Point(axis.mean(axis=0))
        if all(shapely.LineString(line.ends).distance(middle) > 2 * BESIDE_M for line in found):
            line = _from_kerb_to_kerb(evidence, paint + evidence.marking, axis)
            found += [line] if line else []
    return found


def _from_kerb_to_kerb(evidence: Evidence, paint: F32, axis: F64) -> Crossline | None:
    """Return the line along `axis` (2, 2) if it is painted over most of the road's width, which must have been seen."""
    for _ in range(2):  # the axis of a piece is a little askew: the second round has that of the whole line
        along = np.arange(-LONGEST_ROAD_M, LONGEST_ROAD_M, STEP_M)
        direction = (axis[1] - axis[0]) / np.hypot(*(axis[1] - axis[0]))
        normal = np.array([-direction[1], direction[0]])
        road = _road_around(evidence, axis.mean(axis=0) + along[:, None] * direction)
        if road is None:
            return None
        offsets = np.arange(-BESIDE_M, BESIDE_M + STEP_M / 2, STEP_M)
        xy = axis.mean(axis=0) + along[road, None] * direction
        value = evidence.sample(paint, xy[:, None] + offsets[:, None] * normal)
        painted: Bool = value.max(axis=1) > LEAST
        if painted.mean() < PAINTED_SHARE:
            return None
        weight = np.where(value > LEAST, value, 0.0)[painted]
        aside = (weight * offsets).sum(axis=1) / weight.sum(axis=1)
        slope, shift = np.polyfit(along[road][painted], aside, 1)
        ends = along[road][painted][[0, -1], None]
        axis = axis.mean(axis=0) + ends * direction + (slope * ends + shift) * normal
    width_m = float((value > LEAST)[painted].sum(axis=1).mean()) * STEP_M
    return Crossline(ends=axis, value=float(np.clip(value.max(axis=1)[painted], 0, 1).mean()), width_m=width_m)


def _road_around(evidence: Evidence, xy: F64) -> slice | None:
    """Return the stretch of dense points (N, 2) around their middle that is road, if what ends it was seen."""
    road = evidence.is_known(xy) & (evidence.sample(evidence.drivable, xy) > 0.5)
    beyond = round(KERB_M / STEP_M)
    for start, stop in polyline.runs(polyline.close_gaps(road, round(CLOSE_M / STEP_M))):
        if start <= len(xy) // 2 < stop:
            sides = xy[max(start - beyond, 0) : start], xy[stop : stop + beyond]
            seen = all(evidence.is_known(side).any() for side in sides)
            return slice(start, stop) if seen else None
    return None


def _gap(one: Crossline, other: Crossline) -> float | None:
    """Return how far apart two lines are, if they lie side by side as those of a crossing do."""
    if abs(float(one.direction @ other.direction)) < PARALLEL:
        return None
    normal = np.array([-one.direction[1], one.direction[0]])
    gap_m = abs(float((other.ends.mean(axis=0) - one.ends.mean(axis=0)) @ normal))
    spans = [np.sort(line.ends @ one.direction) for line in (one, other)]
    shared = min(span[1] for span in spans) - max(span[0] for span in spans)
    alike = shared > ALIKE_SHARE * max(float(np.ptp(span)) for span in spans)
    return gap_m if NARROWEST_M <= gap_m <= PAIR_GAP_M and alike else None


def _between(one: Crossline, other: Crossline, widths: float) -> shapely.Polygon:
    """Return the place between the axes of two lines, wider at each by so many of its widths."""
    outward = np.array([-one.direction[1], one.direction[0]])
    outward *= np.sign((one.ends.mean(axis=0) - other.ends.mean(axis=0)) @ outward)
    sides = [line.ends + sign * widths * line.width_m * outward for line, sign in ((one, 1.0), (other, -1.0))]
    return shapely.MultiPoint(np.concatenate(sides)).convex_hull


def _is_painted(evidence: Evidence, place: shapely.Polygon) -> bool:
    low, high = np.array(place.bounds).reshape(2, 2)
    x, y = np.meshgrid(*(np.arange(a, b, STEP_M) for a, b in zip(low, high, strict=True)))
    xy = np.stack([x.ravel(), y.ravel()], axis=-1)
    xy = xy[shapely.contains_xy(place, xy)]
    crossing = evidence.sample(evidence.crosswalk, xy) + evidence.sample(evidence.other_marking, xy)
    return bool((crossing > LEAST).mean() > EMPTY_SHARE) if len(xy) else True
