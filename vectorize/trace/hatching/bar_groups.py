"""Groups of parallel bars: hatching, chevrons, box junctions, rumble strips and the lines between parking bays.

Lines of traffic follow the road. Bars lie across it, side by side at a period. Where they are closer than two lanes,
three of them are a group; farther apart they must also rest on a kerb or on a line along the road, as those of a comb
do, because the lanes of a side street are parallel at a period too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from recon.arrays import F64, I64, Bool
from vectorize import polyline
from vectorize.trace.direction_field import DirectionField, between_deg
from vectorize.trace.lines.strand import Strand
from vectorize.trace_config import HatchingConfig

STEP_M = 0.5  # between the points that show the direction of the road
FARTHEST = 3.0  # times `road_m`, from where it is still read if nothing is nearer
COHERENT = 0.3  # share of the summed directions that must agree
NO_DIRECTION = 1e-30  # of summed directions that cancel each other out
SAME_DEG = 12.0  # between neighbouring bars of a group
ROW_GAP_M = 10.0  # longest gap in a row of dashes
ROW_BEND = 0.15  # rad between a dash and the way to the next that is not the bend of their curve,
ROW_CURVE = 0.2  # and with that bend: bars beside an outline turn more
LEAST_ROW = 3  # dashes of a row: two bays that face each other are none
LEAST_GAP_M = 0.2  # between two dashes of a row
BEHIND = 0.2  # sine of the angle between a bar and the way to the next
UNEVEN = 0.35  # spread of the distances in a comb, over their mean
MANY = 5  # bars that are a comb though they rest on nothing
LENGTH_SHARE = 0.3  # of the longer one that the shorter reaches: gores and lattices have short bars at their ends
MOST = 0.5  # of a group's metres that must lie across the road
REST_M = 1.3  # from the end of a bar to what it rests on
BAR_SIDE_M = 0.25  # around a bar: half of its width and its blur
SHARED = 0.4  # of a lattice that lies in the places of both directions
BOX_SHARE = 0.75  # of its rectangle that a lattice fills if it is a box without some corners
STRIPE_SHARED = 0.5  # of a stripe along the road that lies beside its neighbour
JOIN_M = 0.6  # between two groups of one area: the arms of chevrons


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarGroup:
    """Bars of one area, as indices of the strands they are made of."""

    members: I64
    place: shapely.Geometry  # the bars and the ground between them
    lattice: bool  # bars of two directions cross
    comb: bool  # bars far apart: the lines between bays
    across: bool  # the bars lie across the road
    apart_m: float  # between the axes of neighbouring bars, the median


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bars:
    """Every strand as a straight bar."""

    ends: F64  # (N, 2, 2) world metres
    direction: F64  # (N, 2) unit vectors
    length: F64  # (N,) metres from end to end
    off: F64  # (N,) degrees from the direction of the road

    def apart(self, links: I64) -> F64:
        """Return (M,) metres between the axes of linked bars."""
        offset = self.ends[links[:, 1]].mean(axis=1) - self.ends[links[:, 0]].mean(axis=1)
        first = self.direction[links[:, 0]]
        result: F64 = np.abs(first[:, 0] * offset[:, 1] - first[:, 1] * offset[:, 0])
        return result

    def shared(self, links: I64) -> F64:
        """Return (M,) the share of the shorter of two linked bars that lies beside the longer one."""
        first, second = links.T
        way = self.direction[first]
        spans = [np.sort(np.einsum("mec,mc->me", self.ends[k], way), axis=1) for k in (first, second)]
        both = np.minimum(*(s[:, 1] for s in spans)) - np.maximum(*(s[:, 0] for s in spans))
        result: F64 = both / np.minimum(self.length[first], self.length[second])
        return result


def bar_groups(
    strands: Sequence[Strand], edges: Sequence[F64], of_sign: Bool, config: HatchingConfig
) -> list[BarGroup]:
    """Return the groups of bars among strands; `edges` are the sides of the road, dense lines (N, 2).

    `of_sign` (N,) says which strands may be parts of an arrow or a letter. Chevrons look like signs too, but lie across
    the road; the stripes of a zebra lie along it, and are none.
    """
    if len(strands) < config.least_bars:
        return []
    ends = np.array([s.xy_m[[0, -1]] for s in strands])
    chord = ends[:, 1] - ends[:, 0]
    length = np.maximum(np.hypot(*chord.T), NO_DIRECTION)
    direction, middle = chord / length[:, None], ends.mean(axis=1)
    straight = length > config.straight_share * np.array([s.length_m for s in strands])
    off = _off_the_road(strands, edges, middle, direction, length, config)
    off[_in_rows(middle, direction, length)] = 0.0
    clear = np.array([s.width_m <= config.haze_width_m or s.paint.mean() >= config.haze_probability for s in strands])
    clear &= ~of_sign | (off >= config.off_deg)
    fits = straight & clear & (length <= config.longest_bar_m) & (length >= config.shortest_bar_m)
    candidates = np.flatnonzero(fits)
    links = _links(candidates, middle, direction, length, config)
    carries = (off < config.off_deg) & (length >= config.rest_line_m)
    bays = _resting(ends, edges)
    resting = bays | _resting(ends, [s.xy_m for s, c in zip(strands, carries, strict=True) if c])
    bars = _Bars(ends=ends, direction=direction, length=length, off=off)
    # Stripes begin and end together: an arrow or a word between the dashes beside it is none.
    stripes = (off[links["near"]] < config.off_deg).all(axis=1)
    links["near"] = links["near"][~stripes | (bars.shared(links["near"]) >= STRIPE_SHARED)]
    hatched = [group for group in _joined(links["near"], bars) if _is_hatching(bars, links["near"], group, config)]
    taken = np.concatenate([np.zeros(0, np.int64), *hatched])
    wide = links["wide"][~np.isin(links["wide"], taken).any(axis=1)]
    combs = [group for group in _joined(wide, bars) if _is_comb(bars, wide, group, resting, config)]
    kerbside = [group for group in combs if bays[group].mean() > MOST]
    medians = [group for group in combs if bays[group].mean() <= MOST]
    every = np.concatenate([links["near"], wide])
    found = _united(hatched + medians, bars, every, config, comb=False)
    return found + _united(kerbside, bars, every, config, comb=True)


def _off_the_road(
    strands: Sequence[Strand], edges: Sequence[F64], middle: F64, direction: F64, length: F64, config: HatchingConfig
) -> F64:
    """Return (N,) degrees between strands and the road around them; 90 where nothing shows its direction."""
    long = [s.xy_m for s in strands if s.length_m >= config.line_m]
    field = DirectionField.of(
        [polyline.resample(line, STEP_M) for line in (*edges, *long) if polyline.length_of(line) > STEP_M]
    )
    result = np.full(len(strands), 90.0)
    for i, strand in enumerate(strands):
        near = field.near(middle[i], FARTHEST * config.road_m + length[i] / 2)
        # A strand does not show its own direction.
        own = shapely.distance(shapely.LineString(strand.xy_m), shapely.points(field.points[near])) < STEP_M
        weight = np.where(own, 0.0, field.closeness(middle[i], near, config.road_m / 2))
        road = field.mean(near, weight)
        # Where two roads meet their directions cancel each other out, and none is the road's.
        if abs(road) > COHERENT * weight.sum() + NO_DIRECTION:
            result[i] = between_deg(polyline.doubled(direction[i : i + 1])[0], road)
    return result


def _in_rows(middle: F64, direction: F64, length: F64) -> Bool:
    """Return (N,) whether strands lie one behind the other, three at least: the dashes of a line of traffic.

    At the end of a road its kerb runs across it, and would call them bars.
    """
    pairs = cKDTree(middle).query_pairs(ROW_GAP_M + float(length.max()), output_type="ndarray")
    offset = middle[pairs[:, 1]] - middle[pairs[:, 0]]
    step_m = np.hypot(*offset.T)
    touch_m = (length[pairs[:, 0]] + length[pairs[:, 1]]) / 2
    # Long bars at a small angle to the road lie beside each other, and pieces of one bar have no gap between them.
    behind = (step_m >= touch_m + LEAST_GAP_M) & (step_m <= touch_m + ROW_GAP_M)
    lengths = length[pairs]
    behind &= lengths.min(axis=1, initial=np.inf) >= LENGTH_SHARE * lengths.max(axis=1, initial=0.0)
    way = (offset @ np.array([1.0, 1.0j])) / np.maximum(step_m, NO_DIRECTION)
    first, second = (direction[pairs[:, side]] @ np.array([1.0, 1.0j]) for side in (0, 1))
    leave, arrive = (np.angle((way / first) ** 2) / 2, np.angle((second / way) ** 2) / 2)
    # On a curve both angles are equal, for parallel bars they are opposite.
    behind &= (np.abs(leave - arrive) < 2 * ROW_BEND) & (np.maximum(np.abs(leave), np.abs(arrive)) < ROW_CURVE)
    pairs = pairs[behind]
    labels = _components(pairs, len(middle))
    result: Bool = np.bincount(labels)[labels] >= LEAST_ROW
    return result


def _links(candidates: I64, middle: F64, direction: F64, length: F64, config: HatchingConfig) -> dict[str, I64]:
    """Return pairs (M, 2) of bars side by side: `near`, closer than two lanes, and `wide`."""
    found: dict[str, list[tuple[int, int]]] = {"near": [], "wide": []}
    tree = cKDTree(middle[candidates]) if len(candidates) else None
    pairs = tree.query_pairs(config.wide_m) if tree else ()
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for a, b in sorted(pairs):
        i, k = int(candidates[a]), int(candidates[b])
        if abs(direction[i] @ direction[k]) < np.cos(np.radians(SAME_DEG)):
            continue
        offset = middle[k] - middle[i]
        apart = float(direction[i][0] * offset[1] - direction[i][1] * offset[0])
        short, tall = sorted((length[i], length[k]))
        step_m = float(np.hypot(*offset))
        # Dashes of one line lie one behind the other.
        beside = abs(apart) > BEHIND * step_m and config.least_apart_m < abs(apart) <= config.wide_m
        if not beside or step_m > config.wide_m or short < LENGTH_SHARE * tall:
            continue
        other = float(direction[k][1] * offset[0] - direction[k][0] * offset[1])
        for one, two, side in ((i, k, apart), (k, i, other)):
            key = (one, 1 if side > 0 else 0)
            if key not in best or step_m < best[key][0]:
                best[key] = (step_m, two)
    for (one, _), (_, two) in best.items():
        offset = middle[two] - middle[one]
        near = abs(direction[one][0] * offset[1] - direction[one][1] * offset[0]) <= config.near_m
        found["near" if near else "wide"].append((min(one, two), max(one, two)))
    return {kind: np.array(sorted(set(links)), dtype=np.int64).reshape(-1, 2) for kind, links in found.items()}


def _resting(ends: F64, lines: Sequence[F64]) -> Bool:
    """Return (N,) whether a bar ends at one of the lines."""
    if not lines:
        return np.zeros(len(ends), dtype=bool)
    tree = cKDTree(np.concatenate(lines))
    result: Bool = np.asarray(tree.query(ends)[0]).min(axis=1) < REST_M
    return result


def _components(pairs: I64, count: int) -> I64:
    """Return (count,) the number of the component to which `pairs` (M, 2) join each of so many things."""
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _joined(links: I64, bars: _Bars) -> list[I64]:
    """Return the groups of bars that links join."""
    labels = _components(links, len(bars.off))
    return [np.flatnonzero(labels == k) for k in np.unique(labels[links])]


def _is_hatching(bars: _Bars, links: I64, group: I64, config: HatchingConfig) -> bool:
    """Return whether bars closer than two lanes are no lines of traffic."""
    if len(group) >= config.least_bars and _across(bars, group, config):
        return True
    own = links[np.isin(links, group).all(axis=1)]
    close = float(np.median(bars.apart(own))) <= config.zebra_m
    return len(group) >= config.zebra_bars and close and float(bars.length[group].max()) <= config.zebra_long_m


def _is_comb(bars: _Bars, links: I64, group: I64, resting: Bool, config: HatchingConfig) -> bool:
    """Return whether bars as far apart as lanes are no lines of traffic: most rest on something, or they are many."""
    own = links[np.isin(links, group).all(axis=1)]
    apart = bars.apart(own)
    even = float(np.std(apart)) <= UNEVEN * float(np.mean(apart))
    held = resting[group].mean() > MOST or len(group) >= MANY
    return len(group) >= config.least_bars and even and held and _across(bars, group, config)


def _across(bars: _Bars, group: I64, config: HatchingConfig) -> bool:
    return bool(np.average(bars.off[group] >= config.off_deg, weights=bars.length[group]) > MOST)


def _place(ends: F64, links: I64) -> shapely.Polygon:
    """Return the bars of a group with the ground between neighbours."""
    between = [shapely.MultiPoint(ends[link].reshape(-1, 2)).convex_hull for link in links]
    return shapely.union_all(between).buffer(BAR_SIDE_M, join_style="mitre")


def _united(groups: list[I64], bars: _Bars, links: I64, config: HatchingConfig, *, comb: bool) -> list[BarGroup]:
    """Join groups whose places touch; they are a lattice where bars of two directions share a place."""
    count = len(groups)
    if not count:
        return []
    places = [_place(bars.ends, links[np.isin(links, group).all(axis=1)]) for group in groups]
    pairs = shapely.STRtree(places).query(places, predicate="dwithin", distance=JOIN_M).T.reshape(-1, 2)
    labels = _components(pairs, count)
    result = []
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        whole = shapely.union_all([places[k] for k in own])
        shared_m2 = sum(places[k].area for k in own) - whole.area
        members = np.unique(np.concatenate([groups[k] for k in own]))
        # Groups that nearly touch become one area.
        place = whole.buffer(JOIN_M).buffer(-JOIN_M)
        lattice = bool(shared_m2 > SHARED * whole.area)
        if lattice:  # a box is convex, and the short bars in its corners are no neighbours of the long ones
            box = place.minimum_rotated_rectangle
            place = box if place.area > BOX_SHARE * box.area else place.convex_hull
        across = _across(bars, members, config)
        apart_m = float(np.median(bars.apart(links[np.isin(links, members).all(axis=1)])))
        result.append(
            BarGroup(members=members, place=place, lattice=lattice, comb=comb, across=across, apart_m=apart_m)
        )
    return result
