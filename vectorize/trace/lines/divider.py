"""From strands to dividers and painted stop lines: what is transverse, what is double, what is only haze."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from shapely import Geometry, LineString

from recon.arrays import F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.direction_field import DirectionField, between_deg
from vectorize.trace.lines.bridge import bridge
from vectorize.trace.lines.guide import bridge_along
from vectorize.trace.lines.mouth import Mouths
from vectorize.trace.lines.ridge import find_clear_and_faint, find_dots
from vectorize.trace.lines.rows import join_rows
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.lines.zigzags import is_zigzag
from vectorize.trace.road_sides import RoadSides
from vectorize.trace_config import DividerConfig, StopLineConfig, TraceConfig

LEAST_LINK_M = 1.0  # of a faint ridge that may link clear ones: noise is shorter
LATERAL_SHARE = 0.5  # of `bridge_lateral_m` where faint ridges are linked
LEAST_CLEAR_SHARE = 0.2  # of a line that clear and faint pieces form together
WALL_M, WALL_ENDS_M = 1.0, 0.4  # painted stop lines from this length on stop bridges, but for their ends
BESIDE_M = 0.5  # from the axis of a line to the road beside it
EVERY = 5  # of the vertices of a strand that stand for its direction among neighbours: half a metre apart
MOST_WEIGHT_M = 30.0  # length from which a neighbour's direction weighs no more: it may curve away
NEAREST_M = 4.0  # distance from which a direction counts less: the main street lies farther away than that
LEAST_NEIGHBOURS = 10  # points that must show the direction of the lanes for paint across it to be a stop line
TWO_LANES_M = 8.0  # wide
GO_ON_M, GO_ON_BESIDE_M, GO_ON_COSINE = 2.0, 0.5, 0.98  # from piece to piece of one line, along and across
GO_ON_OVERLAP_M = 0.5  # of a narrower line beside the end of such a piece
NO_FIELD = 1e-6  # of summed directions that cancel each other out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Painted lines of one site."""

    dividers: list[Strand]
    stop_lines: list[Strand]


def find_lines(evidence: Evidence, config: TraceConfig, barriers: list[Geometry], sides: RoadSides) -> Lines:
    """Return dividers joined over their gaps, and wide transverse paint as stop lines.

    No bridge crosses a barrier; the sides of the road guide edge lines over long worn stretches.
    """
    divider = config.divider
    clear, faint = find_clear_and_faint(evidence, evidence.marking, config.ridge)
    clear = [s for s in clear if s.width_m <= divider.max_width_m or s.length_m > divider.wide_keep_m]
    clear = [s for s in clear if _beside_road(evidence, s)]
    dashes = [*clear, *find_dots(evidence, evidence.marking, clear, config)]
    rows = join_rows(dashes, config.row, barriers, Mouths(evidence, config.row))
    # What is too short for a line by itself was only asked whether it belongs to a row.
    rows = [s for s in rows if s.gap_m > 0 or s.length_m >= config.ridge.min_length_m - evidence.grid.cell_m]
    along, stop_lines = _split_transverse(rows, sides, config.stop_line)
    walls = barriers + [LineString(_shrunk(s.xy_m, WALL_ENDS_M)) for s in stop_lines if s.length_m > WALL_M]
    joined = bridge(along, config, walls)
    links = [s for s in faint if s.length_m >= LEAST_LINK_M and s.width_m <= divider.max_width_m]
    links = [s for s in links if _beside_road(evidence, s)]
    # Faint ridges may lie anywhere: they only help over short gaps between themselves and clear paint.
    near = replace(
        config,
        bridge_gap_m=min(divider.faint_gap_m, config.bridge_gap_m),
        bridge_lateral_m=LATERAL_SHARE * config.bridge_lateral_m,
    )
    joined = [t for s in bridge(joined + links, near, walls) if (t := _trim(s)) is not None]
    joined = bridge_along(bridge(joined, config, walls), sides.lines, config, walls)
    joined = [replace(s, paint=np.where(s.bridged, _raster(evidence, s), s.paint)) for s in joined]
    joined = [s for s in joined if s.length_m >= config.min_divider_m and _is_paint(s, divider) and not is_zigzag(s)]
    return Lines(dividers=[_smoothed(s, divider) for s in joined], stop_lines=stop_lines)


def _is_paint(strand: Strand, config: DividerConfig) -> bool:
    """Return whether a strand is paint rather than haze: a single dash without continuation must be strong."""
    return strand.length_m > config.longest_dash_m or float(strand.paint.mean()) >= config.isolated_probability


def _smoothed(strand: Strand, config: DividerConfig) -> Strand:
    """Return the strand without kinks: a single dash is straight, a long line bends slowly."""
    if strand.length_m <= config.longest_dash_m:
        middle, direction = strand.xy_m.mean(axis=0), strand.end_direction(config.longest_dash_m)
        along = (strand.xy_m - middle) @ direction
        return replace(strand, xy_m=middle + np.linspace(along[0], along[-1], len(along))[:, None] * direction)
    even = polyline.smooth(strand.xy_m, config.smooth_m / STEP_M)
    return replace(strand, xy_m=even)


def _raster(evidence: Evidence, strand: Strand) -> F64:
    return evidence.sample(evidence.marking, strand.xy_m)


def _beside_road(evidence: Evidence, strand: Strand) -> bool:
    """Return whether road was seen on at least one side: rails and fences beside the road look like paint too."""
    normal = polyline.left_normals(polyline.tangents(strand.xy_m))
    sides = [evidence.sample(evidence.drivable, strand.xy_m + sign * BESIDE_M * normal) for sign in (1, -1)]
    return bool(max(float(np.median(side)) for side in sides) >= 0.5)


def _split_transverse(
    strands: list[Strand], sides: RoadSides, config: StopLineConfig
) -> tuple[list[Strand], list[Strand]]:
    """Return (strands along the lanes, stop lines): paint across the lines and sides of the road there is no divider.

    Paint along a side of the road is one all the same: the lines of a side street lie across those of the main street.
    """
    lines = [*(s.xy_m for s in strands), *sides.lines]
    field, weight = DirectionField.of(lines, every=EVERY), _weights(strands, len(sides.lines))
    along: list[Strand] = []
    stops: list[Strand] = []
    for i, strand in enumerate(strands):
        off_deg, shown_by = _off_the_lanes(i, strands, field, weight, config)
        transverse = off_deg >= config.transverse_deg and strand.length_m <= config.marking_max_length_m
        if not transverse or sides.beside(strand.xy_m) is not None or _goes_on(strand, strands, config):
            along.append(strand)
        elif _is_wide(strand, config) and shown_by > LEAST_NEIGHBOURS:
            stops.append(strand)
    return along, stops


def _is_wide(strand: Strand, config: StopLineConfig) -> bool:
    return strand.width_m >= config.marking_min_width_m and strand.length_m >= config.marking_min_length_m


def _goes_on(strand: Strand, strands: Sequence[Strand], config: StopLineConfig) -> bool:
    """Return whether a longer line as wide, two lines for instance, goes on where a strand ends, or begins beside it.

    At the end of the road its kerb lies across such a piece, which is no stop line for that.
    """
    start, way = strand.xy_m[0], strand.xy_m[-1] - strand.xy_m[0]
    length_m = float(np.hypot(*way))
    if length_m == 0.0:
        return False
    axis = way / length_m
    for other in strands:
        if other is strand or other.length_m <= TWO_LANES_M:
            continue
        # The edge line of the main street ends where a stop line in the mouth begins, but not beside it.
        reach_m = GO_ON_M if other.width_m >= config.marking_min_width_m else -GO_ON_OVERLAP_M
        for end, heading in ((0, other.reversed().end_direction(GO_ON_M)), (-1, other.end_direction(GO_ON_M))):
            offset = other.xy_m[end] - start
            beside = abs(axis[0] * offset[1] - axis[1] * offset[0]) <= GO_ON_BESIDE_M
            if beside and -reach_m <= offset @ axis <= length_m + reach_m and abs(heading @ axis) > GO_ON_COSINE:
                return True
    return False


def _weights(strands: Sequence[Strand], sides: int) -> F64:
    """Return the weight of each strand and then of each side as a neighbour."""
    return np.array([*(min(s.length_m, MOST_WEIGHT_M) for s in strands), *[MOST_WEIGHT_M] * sides])


def _off_the_lanes(
    i: int, strands: Sequence[Strand], field: DirectionField, weight: F64, config: StopLineConfig
) -> tuple[float, int]:
    """Return the degrees between strand `i` and the lines around it, and the number of points that show those."""
    strand = strands[i]
    middle = strand.xy_m[len(strand.xy_m) // 2]
    near = field.near(middle, config.neighbour_m)
    near = near[field.owner[near] != i]
    of_line = field.owner[near] < len(strands)
    # In a side street its own kerbs and lines are nearer than those of the main street.
    share = weight[field.owner[near]] * field.closeness(middle, near, NEAREST_M)
    wide = _is_wide(strand, config)
    # The kerb at the end of a road lies across its last dash: only wide paint is compared with sides too, and paint
    # longer than the stop line of two lanes with these together: another road's lines may be nearer than its own.
    kinds = [of_line, True] if strand.length_m <= TWO_LANES_M else [True]
    own = polyline.doubled(polyline.tangents(strand.xy_m)).mean()
    around = [field.mean(near, share * kept) for kept in (kinds if wide else [of_line])]
    off_deg = max(between_deg(own, one) if abs(one) > NO_FIELD else 0.0 for one in around)
    return off_deg, len(near) if wide else int(of_line.sum())


def _shrunk(xy_m: F64, by_m: float) -> F64:
    count = min(round(by_m / STEP_M), (len(xy_m) - 2) // 2)
    return xy_m[count : len(xy_m) - count]


def _trim(strand: Strand) -> Strand | None:
    """Cut faint and bridged ends off; None where too little of the rest is clear paint."""
    clear = np.flatnonzero(~strand.faint & ~strand.bridged)
    if not clear.size:
        return None
    part = strand.part(int(clear[0]), int(clear[-1]) + 1)
    if strand.gap_m > 0:  # a row is proved by its period, however little of it is paint
        return part
    if len(part.xy_m) < 3 or (~part.faint & ~part.bridged).mean() < LEAST_CLEAR_SHARE:
        return None
    return part
