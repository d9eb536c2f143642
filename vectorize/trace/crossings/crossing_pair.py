"""Crossings that are painted as two lines across the road, without stripes.

A class map learns stop lines and the lines of a crossing from pixels of the same appearance, and it labels parts of the
one as the other. Geometry separates most of them: a crossing has two lines from kerb to kerb, side by side. Two lines
that are labelled as stop lines throughout stay stop lines, because one-way roads have such pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.bars import find_bars
from vectorize.trace.crossings.paint_areas import CLOSE_M, LEAST, LINE_WIDTH_M, areas_of, axis_of
from vectorize.trace_config import CrossingPairConfig

KERB_M = (0.15, 0.45)  # beyond the end of the road, where its side must have been seen: the foot of the kerb
BESIDE_M = 0.3  # paint this far from a line's axis is that line's
ROADSIDE_M = 0.6  # from its axis there is road again: other ground has lines that cross no road
STEP_M = 0.1  # between sample points: one cell
AXIS_ROUNDS = 2  # the axis of a piece is a little askew: the second round has that of the whole line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crossline:
    """A straight line of paint from kerb to kerb."""

    ends: F64  # (2, 2) world metres, of the paint
    direction: F64  # (2,) unit vector from end to end
    value: float  # mean evidence of the paint, times the share of the way that is painted
    crosswalk: float  # share of the paint that is labelled as crosswalk
    width_m: float


def find_line_pairs(evidence: Evidence, config: CrossingPairConfig) -> list[tuple[shapely.Polygon, float]]:
    """Return the rectangle and the mean evidence of each crossing that is painted as two lines across the road."""
    lines = _crosslines(evidence, config)
    if len(lines) < 2:
        return []
    near = cKDTree([line.ends.mean(axis=0) for line in lines]).query_pairs(config.max_gap_m + 0.5 * config.max_road_m)
    pairs = []
    for i, j in sorted(near):
        share, gap_m = (lines[i].crosswalk + lines[j].crosswalk) / 2, _gap(lines[i], lines[j], config)
        if not gap_m or share <= config.crosswalk_share:
            continue
        if _painted_share(evidence, _between(lines[i], lines[j], -0.5)) <= config.empty_share:
            # Beside the two lines of a crossing there may be a stop line: it is the least like a crossing.
            pairs.append((-round(share, 1), gap_m, i, j))
    free, result = set(range(len(lines))), []
    for _, _, i, j in sorted(pairs):
        if {i, j} <= free:
            free -= {i, j}
            result.append((_between(lines[i], lines[j], 0.5), (lines[i].value + lines[j].value) / 2))
    return result


def _crosslines(evidence: Evidence, config: CrossingPairConfig) -> list[Crossline]:
    """Return the lines from kerb to kerb, each once though its paint may lie in pieces."""
    own = evidence.crosswalk + evidence.stop_line + evidence.other_marking
    paint = own + evidence.marking
    pieces = []
    for window, inside, _ in areas_of(evidence, own, CLOSE_M):
        area = np.where(inside, own[window], np.float32(0))
        fitted = axis_of(evidence, window, area)
        if fitted is None:
            continue
        if fitted[2] <= LINE_WIDTH_M:
            axes = [fitted[0]]
        else:  # at a corner the lines of neighbouring crossings meet: each is a bar of its own
            bars = find_bars(area, evidence.grid, window)
            axes = list(bars.ends()[bars.widths_m <= LINE_WIDTH_M])
        lengths = [(polyline.length_of(axis), axis) for axis in axes]
        pieces += [(length_m, axis) for length_m, axis in lengths if length_m >= config.min_line_m]
    found: list[Crossline] = []
    for _, axis in sorted(pieces, key=lambda piece: (-piece[0], *piece[1].ravel().tolist())):
        middle = shapely.Point(axis.mean(axis=0))
        if all(shapely.LineString(line.ends).distance(middle) > 2 * BESIDE_M for line in found):
            line = _from_kerb_to_kerb(evidence, own, paint, axis, config)
            found += [line] if line else []
    return found


def _from_kerb_to_kerb(
    evidence: Evidence, own: F32, paint: F32, axis: F64, config: CrossingPairConfig
) -> Crossline | None:
    """Return the line along `axis` (2, 2) if it is painted from one side of the road to the other."""
    offsets = np.arange(-BESIDE_M, BESIDE_M + STEP_M / 2, STEP_M)
    for _ in range(AXIS_ROUNDS):
        middle, direction = axis.mean(axis=0), (axis[1] - axis[0]) / np.hypot(*(axis[1] - axis[0]))
        normal = np.array([-direction[1], direction[0]])
        along = _road_around(evidence, middle, direction, config)
        if along is None:
            return None
        xy = middle + along[:, None] * direction
        places = xy[:, None] + offsets[:, None] * normal
        value = evidence.sample(paint, places)
        painted: Bool = value.max(axis=1) > LEAST
        if painted.mean() < config.painted_share:
            return None
        ends = along[painted][[0, -1]]
        if np.abs(ends - along[[0, -1]]).max() > config.end_m:
            return None
        weight = np.where(value > LEAST, value, 0.0)[painted]
        slope, shift = np.polyfit(along[painted], (weight * offsets).sum(axis=1) / weight.sum(axis=1), 1)
        axis = middle + ends[:, None] * direction + (slope * ends + shift)[:, None] * normal
    of_its_own = evidence.sample(own, places).max(axis=1) > LEAST
    beside = evidence.sample(evidence.drivable, xy[:, None] + np.array([[-ROADSIDE_M], [ROADSIDE_M]]) * normal) > 0.5
    if of_its_own.mean() < config.own_share or beside.mean(axis=0).min() < config.painted_share:
        return None
    covered = value > LEAST
    return Crossline(
        ends=axis,
        direction=direction,
        value=float(np.clip(value[covered], 0, 1).mean() * painted.mean()),
        crosswalk=float(evidence.sample(evidence.crosswalk, places)[covered].sum() / value[covered].sum()),
        width_m=float(covered[painted].sum(axis=1).mean()) * STEP_M,
    )


def _road_around(evidence: Evidence, middle: F64, direction: F64, config: CrossingPairConfig) -> F64 | None:
    """Return how far along a direction (L,) the road around a place reaches, if it is crossed on that way.

    Both of its sides must have been seen, as ground: an object there may hide more road. The road must also reach
    farther in the other direction, because a line along the road lies on a long stretch of road too.
    """
    steps = np.arange(-config.max_road_m, config.max_road_m, STEP_M)
    spans = []
    for way in (direction, np.array([-direction[1], direction[0]])):
        xy = middle + steps[:, None] * way
        road = evidence.is_known(xy) & (evidence.sample(evidence.drivable, xy) > 0.5)
        runs = polyline.runs(polyline.close_gaps(road, round(CLOSE_M / STEP_M)))
        spans += [steps[a:b] for a, b in runs if a <= len(steps) // 2 < b]
    if len(spans) < 2:
        return None
    if not config.min_road_m <= np.ptp(spans[0]) <= min(config.max_road_m, np.ptp(spans[1])):
        return None
    beyond = np.arange(KERB_M[0], KERB_M[1], STEP_M)
    sides = middle + np.concatenate([spans[0][0] - beyond, spans[0][-1] + beyond])[:, None] * direction
    standing = evidence.sample(evidence.background, sides) > 0.5
    return spans[0] if (evidence.is_known(sides) & ~standing).all() else None


def _gap(one: Crossline, other: Crossline, config: CrossingPairConfig) -> float | None:
    """Return how far apart two lines are, if they lie side by side as those of a crossing do."""
    if abs(float(one.direction @ other.direction)) < np.cos(np.radians(config.max_angle_deg)):
        return None
    normal = np.array([-one.direction[1], one.direction[0]])
    gap_m = abs(float((other.ends.mean(axis=0) - one.ends.mean(axis=0)) @ normal))
    spans = [np.sort(line.ends @ one.direction) for line in (one, other)]
    shared = min(span[1] for span in spans) - max(span[0] for span in spans)
    side_by_side = shared > config.overlap_share * max(float(np.ptp(span)) for span in spans)
    return gap_m if config.min_gap_m <= gap_m <= config.max_gap_m and side_by_side else None


def _between(one: Crossline, other: Crossline, outward_widths: float) -> shapely.Polygon:
    """Return the place between the axes of two lines, wider at each by so many of its widths."""
    outward = np.array([-one.direction[1], one.direction[0]])
    outward *= np.sign((one.ends.mean(axis=0) - other.ends.mean(axis=0)) @ outward)
    sides = [line.ends + sign * outward_widths * line.width_m * outward for line, sign in ((one, 1.0), (other, -1.0))]
    return shapely.MultiPoint(np.concatenate(sides)).convex_hull


def _painted_share(evidence: Evidence, place: shapely.Polygon) -> float:
    """Return the share of a place with paint of crossings or hatching; 1 for a place without sample points."""
    low, high = np.array(place.bounds).reshape(2, 2)
    x, y = np.meshgrid(*(np.arange(a, b, STEP_M) for a, b in zip(low, high, strict=True)))
    xy = np.stack([x.ravel(), y.ravel()], axis=-1)
    xy = xy[shapely.contains_xy(place, xy)]
    crossing = evidence.sample(evidence.crosswalk, xy) + evidence.sample(evidence.other_marking, xy)
    return float((crossing > LEAST).mean()) if len(xy) else 1.0
