"""Rows of dashes: which dashes follow each other on one curve at one period, whatever the country's pattern.

A link joins two dashes that lie on one circle: the angle at which the first leaves towards the second equals the angle
at which the second is reached. A link alone proves little over a long gap, for neighbouring lanes have dashes too. It
counts where another one continues it: a row is a chain of links with one period. Where a dash is worn away or hidden,
a link may span two or three periods, but not past the mouth of a side street: there no dash was painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
import shapely.ops
from scipy.spatial import cKDTree
from shapely import Geometry, LineString, STRtree

from vectorize import polyline
from vectorize.trace.lines.dash_links import Dashes, DashLink, curve_between, curve_of
from vectorize.trace.lines.linker import bridge_strand, concatenated
from vectorize.trace.lines.mouth import Mouths
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import RowConfig

MOST_LEAVING_RAD = 1.05  # between a dash and the way to the next: more is beside it, not after it
UNSURE_M = 0.08  # across, by which the ends of a dash may be off its axis
MOST_PERIODS = 3  # that one link spans: two dashes of a row may be missing
BEAT_SHARE = 0.05  # of a period, by which dashes are off the beat after a hole: behind a side street it begins anew
PERIOD_SLACK_M = 0.15  # of a period: half a cell at each end of two dashes
ALIKE = 2.0  # times the shorter one of two dashes of a row that the longer one may measure,
ALIKE_SLACK_M = 0.4  # and this much more
TRIPLE_BEND_RAD = 0.35  # change of the bend from link to link: a row goes from a curve into another one
INNER = (0.25, 0.75)  # of a link, as shares of its length
CLEAR_M = 0.2  # beside a link, where no other dash lies: it would be the next one of the row
DOT_SHARE = 0.5  # of the members of a row that make it one of dots
BLOCKING_SHARE = 0.4  # of a dash that another one must measure to stand in its row: a stud between dashes does not
HOLE_PERIODS = 1.5  # of the shortest period of a row, from which on a link spans a hole
LEAST_WITH_HOLE = 4  # dashes of a row with a hole: three could be anything
LEAST_GAP_SHARE = 0.2  # of a dash that the gap measures: less is a worn solid line
LEAST_AFTER_LINE = 2  # dashes that show a row together with a line that ends in its first one
PAIR_CIRCLE_DEG = 5.0  # off one circle through such a pair and its line: two dashes prove less than three
EVEN_SHARE = 0.15  # by which two dashes alone may differ that follow a line
LEAST_PAIR_M = 1.5  # length of such dashes: shorter ones show no direction
LEAST_GROUP = 4  # dots that may be one dash of a row of such groups


def join_rows(
    strands: Sequence[Strand], config: RowConfig, barriers: Sequence[Geometry], mouths: Mouths | None = None
) -> list[Strand]:
    """Return the strands with the dashes of each row joined to one; no link crosses a strand or a barrier."""
    groups = _round(list(strands), replace(config, least_dots=min(LEAST_GROUP, config.least_dots)), barriers, mouths)
    joined = _round(groups, config, barriers, mouths)
    # A few dots are a dash of a row of such groups, or nothing.
    few = [s for s in joined if s.dots and s.dots < config.least_dots]
    return [s for s in joined if s.length_m >= config.dot_m and s not in few]


def _round(
    strands: list[Strand], config: RowConfig, barriers: Sequence[Geometry], mouths: Mouths | None
) -> list[Strand]:
    pieces = [s for s in strands if s.length_m <= config.longest_dash_m]
    others = [s for s in strands if s.length_m > config.longest_dash_m]
    if len(pieces) < LEAST_AFTER_LINE:
        return strands
    dashes = Dashes.of(pieces, config)
    graph = _Graph(dashes, config, pieces, [LineString(s.xy_m) for s in others] + list(barriers))
    links = _candidates(dashes, config)
    graph.accept(_supported(links, dashes, config))
    for _ in range(MOST_PERIODS):
        graph.accept(graph.over_holes(links))
    rows, used = [], set()
    # What a mouth parts is proved by the whole row: two dashes behind it go on at its period.
    chains = (chain for chain in graph.chains() if _is_row(chain, dashes, config))
    for part in (part for chain in chains for part in _parted(chain, pieces, mouths)):
        used.update([part[0].i, *(link.j for link in part)])
        rows.append(_row(part, pieces, dashes))
    alone = [s for k, s in enumerate(pieces) if k not in used]
    return rows + _after_lines(alone, others, rows, config, barriers)


def _after_lines(
    alone: list[Strand], others: list[Strand], rows: Sequence[Strand], config: RowConfig, barriers: Sequence[Geometry]
) -> list[Strand]:
    """Return the strands with pairs of dashes joined to the line that they follow, which ends in the first dash.

    Before a junction a dashed line becomes solid: of a short one, two dashes are left and the third is its end.
    """
    dashes = Dashes.of(alone, config)
    strands: list[Strand | None] = [*alone, *others]
    for link in _candidates(dashes, config):
        i, j = link.i, link.j
        dash_m = 0.5 * float(dashes.length_m[i] + dashes.length_m[j])
        even = abs(dashes.length_m[i] - dashes.length_m[j]) <= EVEN_SHARE * dash_m
        if dash_m < LEAST_PAIR_M or not even or link.gap_m > config.longest_gap_m:
            continue
        for way in (link, link.turned):
            first, second = strands[way.i], strands[way.j]
            if first is None or second is None:
                break
            before = first.xy_m[-(1 - way.a % 2)]  # the end of the first dash that looks back
            expected = before - link.gap_m * np.array([way.way.real, way.way.imag])
            for k, line in enumerate(strands):
                if line is None or k in (i, j) or line.length_m <= ALIKE_SLACK_M + ALIKE * dash_m:
                    continue
                ends = np.hypot(*(line.xy_m[[0, -1]] - expected).T)
                if ends.min() > config.period_share * link.period_m:
                    continue
                towards = line if ends[1] <= ends[0] else line.reversed()
                count = len(towards.xy_m)
                cut = count - round(dash_m / STEP_M) - 1
                body, group = towards.part(0, cut + 1), [towards.part(cut, count), first, second]
                walls = [s for n, s in enumerate(strands) if s is not None and n not in (i, j, k)]
                row = _only_row(group, [*walls, *rows, body], config, barriers)
                if row is not None:
                    strands[i], strands[j], strands[k] = row, None, body
                    break
    return [s for s in strands if s is not None]


def _only_row(
    group: list[Strand], walls: Sequence[Strand], config: RowConfig, barriers: Sequence[Geometry]
) -> Strand | None:
    """Return dashes joined to one row, None if they are none."""
    config = replace(config, circle_deg=min(PAIR_CIRCLE_DEG, config.circle_deg))
    dashes = Dashes.of(group, config)
    # The last vertex of the line that a row continues is its own: it is no wall.
    graph = _Graph(dashes, config, group, [LineString(s.xy_m[:-1]) for s in walls if len(s.xy_m) > 2] + list(barriers))
    graph.accept(_supported(_candidates(dashes, config), dashes, config))
    for chain in graph.chains():
        if len(chain) == len(group) - 1 and _is_row(chain, dashes, config):
            return _row(chain, group, dashes)
    return None


def _candidates(dashes: Dashes, config: RowConfig) -> list[DashLink]:
    """Return every link between two dashes that lie on one circle, nearest first."""
    pairs = cKDTree(dashes.middle).query_pairs(config.longest_link_m, output_type="ndarray")
    if not len(pairs):
        return []
    i, j = pairs.T
    step = dashes.middle[j] - dashes.middle[i]
    period = np.hypot(*step.T)
    dots = dashes.is_dot[i] | dashes.is_dot[j]
    way, u, v = (w @ np.array([1.0, 1.0j]) for w in (step, dashes.direction[i], dashes.direction[j]))
    way = way / period
    # Directions of dashes have no sign: both are turned along the way.
    u = u * np.where((way * np.conj(u)).real < 0, -1, 1)
    v = v * np.where((way * np.conj(v)).real < 0, -1, 1)
    leave, arrive = np.angle(way / u), np.angle(v / way)
    gap = period - (dashes.length_m[i] + dashes.length_m[j]) / 2
    alike = np.maximum(dashes.length_m[i], dashes.length_m[j]) <= ALIKE_SLACK_M + ALIKE * np.minimum(
        dashes.length_m[i], dashes.length_m[j]
    )
    # A short dash shows its direction badly.
    unsure = UNSURE_M / dashes.length_m[i] + UNSURE_M / dashes.length_m[j]
    off = np.maximum(np.abs(leave - arrive) - unsure, 0.0)
    limit = np.radians(config.circle_deg)
    good = (gap > 0) & alike & (dots | (period * np.sin(off / 2) <= config.lateral_m))
    good &= dots | ((np.abs(leave) < MOST_LEAVING_RAD) & (np.abs(arrive) < MOST_LEAVING_RAD) & (off < limit))
    good &= ~dots | (gap <= config.longest_dot_gap_m)
    ahead_u = (dashes.direction[i] @ np.array([1.0, 1.0j]) * np.conj(way)).real > 0
    ahead_v = (dashes.direction[j] @ np.array([1.0, 1.0j]) * np.conj(way)).real > 0
    links = [
        DashLink(
            i=int(i[k]),
            j=int(j[k]),
            a=int(2 * i[k] + ahead_u[k]),
            b=int(2 * j[k] + (not ahead_v[k])),
            period_m=float(period[k]),
            gap_m=float(gap[k]),
            bend_rad=0.0 if dots[k] else float(leave[k] + arrive[k]) / 2,
            off_rad=0.0 if dots[k] else float(off[k]),
            way=complex(way[k]),
        )
        for k in np.flatnonzero(good)
    ]
    return sorted(links, key=lambda link: (link.period_m, link.i, link.j))


def _triple(one: DashLink, two: DashLink, dashes: Dashes, config: RowConfig) -> float | None:
    """Return how badly link `two` continues link `one` at their common dash, None where it does not."""
    if one.j != two.i or one.i == two.j:
        return None
    turn = abs(float(np.angle(two.way / one.way)))
    if dashes.is_dot[one.j]:
        if turn > np.radians(config.dot_turn_deg):
            return None
    elif one.b == two.a:
        return None
    times = _times(one, two, config)
    if times is None:
        return None
    bend = abs(one.bend_rad / times[0] - two.bend_rad / times[1])
    if bend > TRIPLE_BEND_RAD:
        return None
    uneven = abs(one.period_m / times[0] - two.period_m / times[1]) / min(one.period_m, two.period_m)
    return bend / TRIPLE_BEND_RAD + uneven / config.period_share + (turn if dashes.is_dot[one.j] else 0.0)


def _times(one: DashLink, two: DashLink, config: RowConfig) -> tuple[int, int] | None:
    """Return how many periods each of two neighbouring links spans, None where they share none."""
    for m, n in ((1, 1), (1, 2), (2, 1)):
        period, other = one.period_m / m, two.period_m / n
        share = config.period_share if m == n else BEAT_SHARE
        same = abs(period - other) <= share * min(period, other) + PERIOD_SLACK_M
        # The last dash of a row may be cut: its middle is out of step, and its gap is not.
        same |= m == n and abs(one.gap_m - two.gap_m) <= config.period_share * min(one.gap_m, two.gap_m)
        if same and max(one.gap_m if m == 1 else 0.0, two.gap_m if n == 1 else 0.0) <= config.longest_gap_m:
            return m, n
    return None


def _cost(link: DashLink, config: RowConfig) -> float:
    return float(link.off_rad / np.radians(config.circle_deg) + link.period_m / config.longest_link_m)


def _supported(links: list[DashLink], dashes: Dashes, config: RowConfig) -> list[tuple[float, DashLink]]:
    """Return links that another link continues, with their cost."""
    leaving: dict[int, list[DashLink]] = {}
    for link in links:
        leaving.setdefault(link.i, []).append(link)
        leaving.setdefault(link.j, []).append(link.turned)
    result = []
    for link in links:
        if link.gap_m > config.longest_gap_m:
            continue
        fits = [
            cost + _cost(after, config)
            for way in (link, link.turned)
            for after in leaving.get(way.j, ())
            if (cost := _triple(way, after, dashes, config)) is not None
        ]
        if fits:
            result.append((_cost(link, config) + min(fits), link))
    return result


class _Graph:
    """Accepted links, at most one at each end of a dash."""

    def __init__(self, dashes: Dashes, config: RowConfig, pieces: Sequence[Strand], walls: Sequence[Geometry]) -> None:
        self.dashes, self.config = dashes, config
        self._pieces = pieces
        self._dash_tree = STRtree([LineString(s.xy_m) for s in pieces])
        self._walls = STRtree(walls)
        self._at: dict[int, list[DashLink]] = {}  # by dash, each link leaving it
        self._curves: list[LineString] = []

    def accept(self, scored: Sequence[tuple[float, DashLink]]) -> None:
        """Accept links in the order of their cost whose ends are free, which fit their neighbours and cross nothing."""
        for _, link in sorted(scored, key=lambda one: (one[0], one[1].i, one[1].j)):
            if self._fits(link) and self._is_clear(link):
                self._at.setdefault(link.i, []).append(link)
                self._at.setdefault(link.j, []).append(link.turned)
                self._curves.append(LineString(curve_of(link, self._pieces)))

    def _fits(self, link: DashLink) -> bool:
        if any(other.j == link.j for other in self._at.get(link.i, ())):
            return False
        for way in (link, link.turned):
            before = self._at.get(way.i, ())
            if len(before) > 1 or any(
                _triple(other.turned, way, self.dashes, self.config) is None and not self._spans(other, way)
                for other in before
            ):
                return False
        return not self._closes(link)

    def _closes(self, link: DashLink) -> bool:
        """Return whether a link joins both ends of one chain."""
        before, here = -1, link.i
        while True:
            ahead = [other for other in self._at.get(here, ()) if other.j != before]
            if here == link.j:
                return True
            if not ahead:
                return False
            before, here = here, ahead[0].j

    def _spans(self, other: DashLink, way: DashLink) -> bool:
        """Return whether a link goes on over a hole of so many periods of its neighbour."""
        if not self.dashes.is_dot[way.i] and other.a == way.a:
            return False
        if self.dashes.is_dot[way.i] and abs(np.angle(-way.way / other.way)) > np.radians(self.config.dot_turn_deg):
            return False
        times = way.period_m / other.period_m
        return _is_whole(times, self.config) and abs(-other.bend_rad - way.bend_rad / round(times)) < TRIPLE_BEND_RAD

    def over_holes(self, links: Sequence[DashLink]) -> list[tuple[float, DashLink]]:
        """Return links from the ends of rows over two or three periods, or over one to a dash that stood alone."""
        result = []
        for link in links:
            sides = [self._at.get(link.i, []), self._at.get(link.j, [])]
            if max(len(side) for side in sides) > 1 or not any(sides):
                continue
            times = [link.period_m / side[0].period_m for side in sides if side]
            if all(_is_whole(n, self.config) for n in times):
                result.append((_cost(link, self.config) + max(times), link))
        return result

    def _is_clear(self, link: DashLink) -> bool:
        curve = LineString(curve_of(link, self._pieces))
        if len(self._walls.query(curve, predicate="intersects")):
            return False
        # Beside its ends lie the dashes of a second row, between them would lie the next one of this row.
        gap = shapely.ops.substring(curve, INNER[0], INNER[1], normalized=True)
        near = self._dash_tree.query(gap, predicate="dwithin", distance=CLEAR_M)
        least = BLOCKING_SHARE * min(self.dashes.length_m[link.i], self.dashes.length_m[link.j])
        if any(k not in (link.i, link.j) and self.dashes.length_m[k] >= least for k in near.tolist()):
            return False
        return not any(curve.crosses(other) for other in self._curves)

    def chains(self) -> list[list[DashLink]]:
        """Return the accepted links as chains, each from one loose end to the other."""
        done: set[int] = set()
        result = []
        for start, leaving in sorted(self._at.items()):
            if len(leaving) != 1 or start in done:
                continue
            chain = [leaving[0]]
            done.add(start)
            while True:
                here = chain[-1].j
                done.add(here)
                ahead = [link for link in self._at[here] if link.j != chain[-1].i]
                if not ahead:
                    break
                chain.append(ahead[0])
            result.append(chain)
        return result


def _is_whole(times: float, config: RowConfig) -> bool:
    number = round(times)
    return 1 <= number <= MOST_PERIODS and abs(times - number) <= (config.period_share if number == 1 else BEAT_SHARE)


def _parted(chain: Sequence[DashLink], pieces: Sequence[Strand], mouths: Mouths | None) -> list[list[DashLink]]:
    """Return the parts of a chain between its holes at mouths of side streets."""
    parts: list[list[DashLink]] = [[]]
    least_m = min(link.period_m for link in chain)
    for link in chain:
        before, gap, after = pieces[link.i].xy_m, curve_of(link, pieces), pieces[link.j].xy_m
        hole = link.period_m > HOLE_PERIODS * least_m
        if hole and mouths is not None and mouths.between(before, gap, after):
            parts.append([])
        else:
            parts[-1].append(link)
    return [part for part in parts if part]


def _is_row(chain: Sequence[DashLink], dashes: Dashes, config: RowConfig) -> bool:
    """Return whether a chain has enough dashes, and gaps that are no wear."""
    members = [chain[0].i, *(link.j for link in chain)]
    least = config.least_dots if _are_dots(members, dashes) else config.least_dashes
    periods = np.array([link.period_m for link in chain])
    if (periods > HOLE_PERIODS * periods.min()).any():
        least = max(least, LEAST_WITH_HOLE)
    gap_m = float(np.median([link.gap_m for link in chain]))
    dash_m = float(np.median(dashes.length_m[members]))
    return len(members) >= least and LEAST_GAP_SHARE * dash_m <= gap_m


def _are_dots(members: Sequence[int], dashes: Dashes) -> bool:
    return float(dashes.is_dot[members].mean()) > DOT_SHARE


def _row(chain: Sequence[DashLink], pieces: Sequence[Strand], dashes: Dashes) -> Strand:
    """Return a chain as one strand."""
    parts = []
    gap_m = float(np.median([link.gap_m for link in chain]))
    members = [chain[0].i, *(link.j for link in chain)]
    middles = dashes.middle[members]
    courses = polyline.tangents(middles)
    oriented = []
    for member, course in zip(members, courses, strict=True):
        piece = pieces[member]
        if dashes.is_dot[member]:  # what was traced there has no direction of its own
            half = 0.5 * dashes.length_m[member] * course
            line = dashes.middle[member] + np.linspace(-1.0, 1.0, len(piece.xy_m))[:, None] * half
            oriented.append(replace(piece, xy_m=line))
        else:
            oriented.append(piece if (piece.xy_m[-1] - piece.xy_m[0]) @ course >= 0 else piece.reversed())
    for number, piece in enumerate(oriented):
        parts.append(piece)
        if number < len(chain):
            link = chain[number]
            curve = curve_between(piece.xy_m[-1], oriented[number + 1].xy_m[0], link)
            parts += bridge_strand(curve[1:-1])
    return replace(concatenated(parts), gap_m=gap_m, dots=len(members) if _are_dots(members, dashes) else 0)
