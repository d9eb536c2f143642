"""Rows of stripes: the zebras of an area of crosswalk paint, each by itself though they meet at a corner.

The ends of a zebra's stripes lie on two straight lines, which need not be parallel. Two stripes suggest such a pair of
lines; the pair on which most stripes end is a zebra, and the rest is searched again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from recon.arrays import F32, F64, I64, Bool
from vectorize.evidence import Evidence
from vectorize.trace.crossings.bars import Bars, find_bars
from vectorize.trace.crossings.paint_areas import LEAST, Area, areas_of
from vectorize.trace_config import CrosswalkConfig

LEAST_STRIPES = 3
LONG = 1.8  # times the usual bar: a longer one is the line along the ends of stripes, or a stop line
END_M = 0.4  # from a stripe's end to the line on which the row's stripes end
LEAST_LEAN = 0.4  # sine of the angle between a stripe and its row: zebras at a slant, fans at a corner
MOST_TAPER = 0.5  # change of the row's width per metre
LEAST_APART_M = 0.5  # between two stripes that suggest a row: closer ones show no direction
LONGEST_M = 60.0
WORN_STEPS = 3.2  # times the usual step from stripe to stripe: two of them in a row are worn away
TURN = 0.9  # cosine between neighbouring stripes: those of a fan turn less from one to the next, other zebras more
ONE_SHARE = 0.85  # of the common hull that two rows fill if they are parts of one zebra
EXTEND_PAINTED = 0.3  # of the width that must be painted where a row goes on beyond its last clear stripe
EXTEND_GAPS = 1.6  # times the usual space between stripes, over which it goes on
WITHIN, WAY_SAMPLES = (0.05, 0.95), 19  # of that width, where paint is looked for
FOREIGN_SHARE = 0.5  # of the width within another row where it ends
STEP_M = 0.1
MIDDLE = 0.15, 0.85  # of a side, where other zebras do not touch it
SIDE_SAMPLES = 121  # along that: several in each stripe
OUTWARD_M = -0.4, 0.8, 0.05  # from where the stripes end to where their paint is searched
HALF = 0.5  # of the paint along the middle, where it ends
BESIDE_M = 0.3  # blur of paint around a row
LEFT_SHARE = 0.5  # of a usual row's area that paint beside the rows has if it is a crossing too


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A row of stripes as the quadrilateral around it."""

    polygon: shapely.Polygon  # world metres
    stripes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Strip:
    """Two lines on which stripes end, and the stripes' places along them."""

    origin: F64  # (2,)
    axis: F64  # (2,) unit vector
    left: F64  # (2,) offset of the left line at the origin, and its slope along the axis
    right: F64
    members: I64  # in order along the axis
    starts: F64  # (2,) first and last place along the axis, on the left line
    stops: F64  # and on the right line

    def segment(self, at_left: float, at_right: float) -> F64:
        """Return (2, 2) the ends of the way across that meets the lines at places along the axis."""
        normal = np.array([-self.axis[1], self.axis[0]])
        return np.stack(
            [
                self.origin + t * self.axis + (line[0] + line[1] * t) * normal
                for t, line in ((at_left, self.left), (at_right, self.right))
            ]
        )


def zebras_apart(evidence: Evidence, config: CrosswalkConfig) -> tuple[list[tuple[shapely.Polygon, float]], F32]:
    """Return (outline, mean evidence) of each zebra in areas of several, and the crosswalk paint of all other areas.

    An area that fills its hull is one crossing, or has no stripes to tell its crossings apart by.
    """
    zebras: list[tuple[shapely.Polygon, float]] = []
    rest = evidence.crosswalk
    for area in areas_of(evidence, evidence.crosswalk, config.block_gap_m):
        window, inside, _ = area
        outline = _outline(evidence, area)
        if outline.area > config.convex_share * outline.convex_hull.area:
            continue
        paint = np.where(inside, evidence.crosswalk[window], np.float32(0))
        rows = find_rows(evidence, find_bars(paint, evidence.grid, window), config.block_gap_m)
        if not rows:
            continue
        taken = shapely.union_all([row.polygon for row in rows]).buffer(BESIDE_M)
        left = inside & ~_cells_in(evidence, window, taken)
        smallest_m2 = LEFT_SHARE * float(np.median([row.polygon.area for row in rows]))
        rest = rest if rest is not evidence.crosswalk else rest.copy()
        rest[window] = np.where(inside, np.float32(0), rest[window])
        if left.sum() * evidence.grid.cell_m**2 > smallest_m2:
            rest[window] = np.where(left, evidence.crosswalk[window], rest[window])
        for row in rows:
            # A row ends where its paint does: beyond it two lines that converge would go on to a spike.
            polygon = row.polygon.intersection(outline.buffer(BESIDE_M)).convex_hull
            painted = evidence.crosswalk[window][_cells_in(evidence, window, polygon)]
            painted = painted[painted > LEAST]
            if polygon.geom_type == "Polygon" and painted.size:
                zebras.append((polygon, float(np.clip(painted, 0, 1).mean())))
    return zebras, rest


def _outline(evidence: Evidence, area: Area) -> shapely.Geometry:
    """Return the outline of the cells of an area, with its holes."""
    window, inside, _ = area
    edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)  # runs of cells, row by row in the same order
    corner = np.array([window[1].start, window[0].start])
    low, high = evidence.grid.to_m(starts[:, ::-1] + corner), evidence.grid.to_m(stops[:, ::-1] + corner + [0, 1])
    return shapely.union_all(shapely.box(low[:, 0], high[:, 1], high[:, 0], low[:, 1]))


def _cells_in(evidence: Evidence, window: tuple[slice, slice], place: shapely.Geometry) -> Bool:
    """Return (H, W) cells of a window whose centres lie in a place."""
    rows, columns = (np.arange(s.start, s.stop) + 0.5 for s in window)
    xy = evidence.grid.to_m(np.stack(np.meshgrid(columns, rows), axis=-1))
    shapely.prepare(place)
    result: Bool = shapely.contains_xy(place, xy[..., 0], xy[..., 1])
    return result


def find_rows(evidence: Evidence, bars: Bars, block_gap_m: float) -> list[Row]:
    """Return the rows of stripes among bars, the one of most stripes first."""
    free = np.flatnonzero(bars.halves_m <= LONG * np.median(bars.halves_m)) if len(bars.centres) else np.zeros(0, int)
    strips: list[_Strip] = []
    while len(free) >= LEAST_STRIPES:
        strip = _best(bars, free, block_gap_m)
        if strip is None:
            break
        strips.append(_widened(evidence, strip))
        # What else lies in a zebra, or on the lines along its ends, is left of its own paint.
        place = _quadrilateral(strips[-1], strip.starts, strip.stops).buffer(END_M)
        inside = shapely.contains_xy(place, bars.centres[free])
        free = np.setdiff1d(free[~inside], strip.members)
    cores = [_quadrilateral(s, s.starts, s.stops) for s in strips]
    rows = []
    for i, strip in enumerate(strips):
        others = shapely.union_all([core for k, core in enumerate(cores) if k != i])
        rows.append(Row(polygon=_extended(evidence, bars, strip, others), stripes=len(strip.members)))
    return _united(rows)


def _united(rows: list[Row]) -> list[Row]:
    """Join rows that fill their common hull: a worn zebra in two parts."""
    for i, one in enumerate(rows):
        for k, other in enumerate(rows[:i]):
            both = shapely.union(one.polygon, other.polygon)
            if both.area > ONE_SHARE * both.convex_hull.area:
                whole = Row(polygon=both.convex_hull, stripes=one.stripes + other.stripes)
                return _united([whole, *(row for n, row in enumerate(rows) if n not in (i, k))])
    return rows


def _best(bars: Bars, free: I64, block_gap_m: float) -> _Strip | None:
    """Return the strip on whose lines most of the free bars end."""
    centres, directions, ends = bars.centres[free], bars.directions[free], bars.ends()[free]
    widths = bars.widths_m[free]
    best: tuple[float, F64, I64] | None = None
    for i in range(len(free)):
        for k in range(i + 1, len(free)):
            way = centres[k] - centres[i]
            apart = float(np.hypot(*way))
            if not LEAST_APART_M < apart < LONGEST_M:
                continue
            axis = way / apart
            lean = axis[0] * directions[:, 1] - axis[1] * directions[:, 0]
            if min(abs(lean[i]), abs(lean[k])) < LEAST_LEAN:
                continue
            to_left = np.where((lean > 0)[:, None, None], ends[:, ::-1], ends) - centres[i]  # (N, left and right, 2)
            along, across = to_left @ axis, to_left @ np.array([-axis[1], axis[0]])
            run = along[k] - along[i]
            if run.min() < LEAST_APART_M / 2:
                continue
            slope = (across[k] - across[i]) / run
            if abs(slope[0] - slope[1]) > MOST_TAPER:
                continue
            off = np.abs(across - across[i] - slope * (along - along[i])).max(axis=1)
            fits = np.flatnonzero((off < END_M) & (np.abs(lean) > LEAST_LEAN))
            order = fits[np.argsort(along[fits].mean(axis=1))]
            place = along[order].mean(axis=1)
            steps = np.diff(place)
            widest = block_gap_m + (widths[order][1:] + widths[order][:-1]) / 2
            # Stripes of three zebras may end on two lines too: a usual step is no wider than a space between stripes.
            usual_m = min(float(np.median(steps)), float(np.median(widest))) if len(steps) > 1 else 0.0
            turns = np.abs((directions[order][1:] * directions[order][:-1]).sum(axis=1)) < TURN
            breaks = (steps > np.maximum(widest, WORN_STEPS * usual_m)) | turns
            group = np.concatenate([[0], np.cumsum(breaks)])
            where = {int(n): g for n, g in zip(order, group, strict=True)}
            if where.get(i) != where.get(k) or i not in where:
                continue
            members = order[group == where[i]]
            score = len(members) - float(off[members].sum()) / END_M / 2
            if len(members) >= LEAST_STRIPES and (best is None or score > best[0]):
                best = (score, axis, members)
    if best is None:
        return None
    _, axis, members = best
    return _fitted(bars, free[members], axis)


def _fitted(bars: Bars, members: I64, axis: F64) -> _Strip:
    """Fit the two lines to the ends of the stripes."""
    origin = bars.centres[members].mean(axis=0)
    normal = np.array([-axis[1], axis[0]])
    ends = bars.ends()[members] - origin
    left_first = (ends[:, 0] @ normal > ends[:, 1] @ normal)[:, None, None]
    ends = np.where(left_first, ends, ends[:, ::-1])
    along, across = ends @ axis, ends @ normal
    lines = [np.polyfit(along[:, side], across[:, side], 1)[::-1] for side in (0, 1)]
    half = bars.widths_m[members] / 2
    grown = along + np.where(np.arange(len(members)) == 0, -half, half)[:, None]
    return _Strip(
        origin=origin,
        axis=axis,
        left=lines[0],
        right=lines[1],
        members=members,
        starts=grown[0],
        stops=grown[-1],
    )


def _widened(evidence: Evidence, strip: _Strip) -> _Strip:
    """Move the lines on which stripes end to where paint falls to half: stripes with narrow spaces look too short."""
    share = np.linspace(*MIDDLE, SIDE_SAMPLES)[:, None]
    normal = np.array([-strip.axis[1], strip.axis[0]])
    first, last = strip.segment(*strip.starts), strip.segment(*strip.stops)
    sides = first + share[:, :, None] * (last - first)  # (SIDE_SAMPLES, left and right, 2)
    usual = float(evidence.sample(evidence.crosswalk, sides.mean(axis=1)).mean())
    moved = []
    for side, sign, line in ((0, 1.0, strip.left), (1, -1.0, strip.right)):
        offsets = np.arange(*OUTWARD_M)
        places = sides[:, side, None] + sign * offsets[:, None] * normal
        painted = evidence.sample(evidence.crosswalk, places).mean(axis=0) > HALF * usual
        end = int(np.argmin(painted)) if not painted.all() else len(painted) - 1
        moved.append(line + np.array([sign * (offsets[max(end - 1, 0)] + OUTWARD_M[2] / 2), 0.0]))
    return replace(strip, left=moved[0], right=moved[1])


def _quadrilateral(strip: _Strip, starts: F64, stops: F64) -> shapely.Polygon:
    first, last = strip.segment(*starts), strip.segment(*stops)
    polygon = shapely.Polygon([first[0], first[1], last[1], last[0]])
    return polygon if polygon.is_valid else shapely.MultiPoint(np.concatenate([first, last])).convex_hull


def _extended(evidence: Evidence, bars: Bars, strip: _Strip, others: shapely.Geometry) -> shapely.Polygon:
    """Return the quadrilateral with what is painted beyond its outermost clear stripes, up to its width."""
    places = bars.centres[strip.members] @ strip.axis
    free_m = float(np.median(np.diff(places)) - np.median(bars.widths_m[strip.members]))
    patience = round(EXTEND_GAPS * max(free_m, STEP_M) / STEP_M) + 1
    most = round(2 * float(np.median(bars.halves_m[strip.members])) / STEP_M)
    found = []
    for ends, sign in ((strip.starts, -1.0), (strip.stops, 1.0)):
        reached = 0
        for step in range(1, most + 1):
            way = strip.segment(*(ends + sign * step * STEP_M))
            line = shapely.LineString(way)
            if line.intersection(others).length > FOREIGN_SHARE * line.length or step - reached > patience:
                break
            share = np.linspace(*WITHIN, WAY_SAMPLES)[:, None]
            painted = evidence.sample(evidence.crosswalk, way[0] + share * (way[1] - way[0])) > LEAST
            if painted.mean() >= EXTEND_PAINTED:
                reached = step
        found.append(ends + sign * reached * STEP_M)
    return _quadrilateral(strip, found[0], found[1])
