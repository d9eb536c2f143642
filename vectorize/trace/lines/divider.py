"""From strands to dividers and painted stop lines: what is transverse, what is double, what is only haze."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree
from shapely import LineString

from recon.arrays import F64
from vectorize import polyline
from vectorize.config import TraceConfig
from vectorize.evidence import Evidence
from vectorize.trace.lines.bridge import bridge
from vectorize.trace.lines.guide import bridge_along
from vectorize.trace.lines.ridge import find_strands
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace.road_sides import RoadSides

TRANSVERSE_DEG = 50.0
NEIGHBOUR_M = 15.0
STOP_WIDTH_M = 0.25
STOP_LENGTH_M = (1.5, 15.0)
WIDEST_M = 0.7  # wider than any line: worn patches, text, smeared objects
TWIN_M = 0.55  # centre distance of the two lines of a double line, at most
MERGED_M = 0.15
FAINT_GAP_M = 2.0
DASH_M = 6.0  # longest single dash
LONELY_PAINT = 0.33  # mean marking probability of a dash that stands alone
FLOW_M = 0.8  # smoothing along a joined line; at a radius of 20 m it moves the line by 16 mm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lines:
    """Painted lines of one site."""

    dividers: list[Strand]
    double: list[bool]  # same length
    stop_lines: list[Strand]


def find_lines(evidence: Evidence, config: TraceConfig, barriers: list[LineString], sides: RoadSides) -> Lines:
    """Return dividers joined over their gaps, and wide transverse paint as stop lines.

    No bridge crosses a barrier; the sides of the road guide edge lines over long worn stretches.
    """
    clear, faint = find_strands(evidence, evidence.marking)
    clear = [s for s in clear if s.width_m <= WIDEST_M or s.length_m > 8.0]
    clear = [s for s in clear if _beside_road(evidence, s)]
    along, stop_lines = _split_transverse(clear, sides)
    walls = barriers + [LineString(_shrunk(s.xy_m, 0.4)) for s in stop_lines if s.length_m > 1.0]
    joined = bridge(along, config, walls)
    links = [s for s in faint if s.length_m >= 1.0 and s.width_m <= WIDEST_M and _beside_road(evidence, s)]
    # Faint ridges may lie anywhere: they only help over short gaps between themselves and clear paint.
    near = replace(
        config, bridge_gap_m=min(FAINT_GAP_M, config.bridge_gap_m), bridge_lateral_m=0.5 * config.bridge_lateral_m
    )
    joined = [t for s in bridge(joined + links, near, walls) if (t := _trim(s)) is not None]
    joined = bridge_along(bridge(joined, config, walls), sides.lines, config, walls)
    joined = [replace(s, paint=np.where(s.bridged, _raster(evidence, s), s.paint)) for s in joined]
    joined = [_flowing(s) for s in joined if s.length_m >= config.min_divider_m and _stands_alone(s)]
    dividers, double = _merge_twins(joined)
    return Lines(dividers=dividers, double=double, stop_lines=stop_lines)


def _stands_alone(strand: Strand) -> bool:
    """Return whether a piece that found no continuation is paint rather than haze."""
    return strand.length_m > DASH_M or float(strand.paint.mean()) >= LONELY_PAINT


def _flowing(strand: Strand) -> Strand:
    """Return the strand without kinks: a lone dash is straight, a long line bends slowly."""
    if strand.length_m <= DASH_M:
        middle, direction = strand.xy_m.mean(axis=0), strand.end_direction(DASH_M)
        along = (strand.xy_m - middle) @ direction
        return replace(strand, xy_m=middle + np.linspace(along[0], along[-1], len(along))[:, None] * direction)
    even = polyline.smooth(strand.xy_m, FLOW_M / STEP_M)
    return replace(strand, xy_m=even)


def _raster(evidence: Evidence, strand: Strand) -> F64:
    return evidence.sample(evidence.marking, strand.xy_m)


def _beside_road(evidence: Evidence, strand: Strand) -> bool:
    """Return whether road was seen on at least one side: rails and fences beside the road shine too."""
    normal = polyline.left_normals(polyline.tangents(strand.xy_m))
    sides = [evidence.sample(evidence.drivable, strand.xy_m + sign * 0.5 * normal) for sign in (1, -1)]
    return bool(max(float(np.median(side)) for side in sides) >= 0.5)


def _split_transverse(strands: list[Strand], sides: RoadSides) -> tuple[list[Strand], list[Strand]]:
    """Return (strands along the lanes, stop lines): paint across the direction of its neighbours is no divider.

    Unless it runs along a side of the road: the lines of a side street lie across those of the main street.
    """
    if not strands:
        return [], []
    points = np.concatenate([s.xy_m[::5] for s in strands])
    owner = np.concatenate([np.full(len(s.xy_m[::5]), i) for i, s in enumerate(strands)])
    directions = np.concatenate([polyline.tangents(s.xy_m)[::5] for s in strands])
    double_angle = polyline.doubled(directions)
    weight = np.array([min(s.length_m, 30.0) for s in strands])[owner]
    tree = cKDTree(points)
    along: list[Strand] = []
    stops: list[Strand] = []
    for i, strand in enumerate(strands):
        near = np.array(tree.query_ball_point(strand.xy_m[len(strand.xy_m) // 2], NEIGHBOUR_M), dtype=np.int64)
        near = near[owner[near] != i]
        field = (double_angle[near] * weight[near]).sum() if near.size else 0.0
        own = polyline.doubled(polyline.tangents(strand.xy_m))
        off = abs(np.angle(own.mean() / field)) / 2 if abs(field) > 1e-6 else 0.0
        transverse = np.degrees(off) >= TRANSVERSE_DEG and strand.length_m <= STOP_LENGTH_M[1]
        if not transverse or sides.beside(strand.xy_m) is not None:
            along.append(strand)
        elif strand.width_m >= STOP_WIDTH_M and strand.length_m >= STOP_LENGTH_M[0] and len(near) > 10:
            stops.append(strand)
    return along, stops


def _shrunk(xy_m: F64, by_m: float) -> F64:
    count = min(round(by_m / STEP_M), (len(xy_m) - 2) // 2)
    return xy_m[count : len(xy_m) - count]


def _trim(strand: Strand) -> Strand | None:
    """Cut faint and bridged ends off; None where too little of the rest is clear paint."""
    clear = np.flatnonzero(~strand.faint & ~strand.bridged)
    if not clear.size:
        return None
    part = strand.part(int(clear[0]), int(clear[-1]) + 1)
    if len(part.xy_m) < 3 or (~part.faint & ~part.bridged).mean() < 0.2:
        return None
    return part


def _merge_twins(strands: list[Strand]) -> tuple[list[Strand], list[bool]]:
    """Drop strands that run beside a longer one; where both are long they were the two lines of a double line."""
    order = sorted(strands, key=lambda s: (-s.length_m, *s.xy_m[0].tolist()))
    kept: list[Strand] = []
    double: list[bool] = []
    for strand in order:
        twin = -1
        for i, other in enumerate(kept):
            if np.any(strand.xy_m.min(0) > other.xy_m.max(0) + 1) or np.any(strand.xy_m.max(0) < other.xy_m.min(0) - 1):
                continue
            distance, _ = cKDTree(other.xy_m).query(strand.xy_m)
            if np.mean(distance < TWIN_M) > 0.6:
                twin = i
                break
        if twin < 0:
            kept.append(strand)
            double.append(False)
        elif strand.length_m > 0.5 * kept[twin].length_m and strand.length_m > 5.0:
            kept[twin] = _middle(kept[twin], strand)
            double[twin] = True
    return kept, double


def _middle(strand: Strand, twin: Strand) -> Strand:
    """Return the line halfway between a strand and its twin, where it has one."""
    tree = cKDTree(twin.xy_m)
    distance, index = tree.query(strand.xy_m)
    # Where both run together at an end the raster could not part them, and their middle is not the line's.
    apart = np.flatnonzero(np.asarray(distance) > MERGED_M)
    if apart.size > 2:
        strand = strand.part(int(apart[0]), int(apart[-1]) + 1)
        distance, index = tree.query(strand.xy_m)
    share = 0.5 * np.clip((TWIN_M + 0.3 - distance) / 0.3, 0.0, 1.0)[:, None]
    moved = polyline.smooth(strand.xy_m + share * (twin.xy_m[index] - strand.xy_m), 0.5 / STEP_M)
    return replace(strand, xy_m=moved)
