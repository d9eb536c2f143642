"""Edge lines that are worn away over a long stretch follow the road's boundary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from shapely import Geometry

from recon.arrays import F64
from vectorize import polyline
from vectorize.trace.lines.linker import Link, link
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import GuideConfig, TraceConfig

HEADING_SMOOTH_M = 1.0  # of a boundary's heading: its ripple is no corner


def bridge_along(
    strands: list[Strand], guides: Sequence[F64], config: TraceConfig, barriers: list[Geometry]
) -> list[Strand]:
    """Join strands that keep one distance to the same boundary, over gaps of at most `guided_gap_m`.

    Both ends must run parallel to the boundary (`bridge_angle_deg`) at distances that differ by at most
    `bridge_lateral_m`, and the boundary must be unbroken between them and turn no street corner. The bridge keeps
    their distance.
    """
    links: list[Link] = []
    for guide in guides:
        if len(guide) * STEP_M >= config.guide.min_piece_m and config.guided_gap_m > 0:
            links += _links(strands, guide, config)
    return link(strands, links, barriers)


def _links(strands: list[Strand], guide: F64, config: TraceConfig) -> list[Link]:
    """Return links between neighbouring ends along one boundary."""
    tree, tangents = cKDTree(guide), polyline.tangents(guide)
    normals = polyline.left_normals(tangents)
    starts: list[tuple[int, int, float]] = []
    stops: list[
        tuple[int, int, float]
    ] = []  # (position, end id, offset): where a strand begins and stops as the guide runs
    for index, strand in enumerate(strands):
        if strand.length_m < config.guide.min_piece_m:
            continue
        for side, piece in ((0, strand.reversed()), (1, strand)):
            points = piece.xy_m[-round(config.guide.end_m / STEP_M) :]
            found = tree.query(points)
            distance, nearest = np.asarray(found[0]), np.asarray(found[1], dtype=np.int64)
            if distance.max() > config.guide.edge_line_m or nearest[-1] in (0, len(guide) - 1):
                continue
            offset = float(np.mean(np.einsum("ij,ij->i", points - guide[nearest], normals[nearest])))
            along = float(np.dot(piece.end_direction(config.guide.end_m), tangents[nearest[-1]]))
            if abs(along) >= np.cos(np.radians(config.bridge_angle_deg)):
                (stops if along > 0 else starts).append((int(nearest[-1]), 2 * index + side, offset))
    links = []
    for position, end, offset in stops:
        ahead = [s for s in starts if s[0] > position and s[1] // 2 != end // 2]
        if not ahead:
            continue
        arrival, other, other_offset = min(ahead)
        gap_m = (arrival - position) * STEP_M
        step = abs(offset - other_offset)
        if (
            gap_m <= config.guided_gap_m
            and step <= config.bridge_lateral_m
            and not _turns(tangents[position : arrival + 1], config.guide)
        ):
            share = np.linspace(0.0, 1.0, arrival - position + 1)[:, None]
            middle = slice(position, arrival + 1)
            curve = guide[middle] + ((1 - share) * offset + share * other_offset) * normals[middle]
            curve[0], curve[-1] = _end(strands, end), _end(strands, other)
            links.append(Link(gap_m / config.guided_gap_m + step, end, other, curve))
    return links


def _turns(tangents: F64, config: GuideConfig) -> bool:
    """Return whether a stretch of boundary goes round a street corner: a quick turn that it does not undo."""
    angle = np.unwrap(np.arctan2(tangents[:, 1], tangents[:, 0]))
    heading = polyline.smooth(angle[:, None], HEADING_SMOOTH_M / STEP_M)[:, 0]
    ahead = min(round(config.corner_m / STEP_M), len(heading) - 1)
    quickest = np.abs(heading[ahead:] - heading[: len(heading) - ahead]).max()
    return bool(min(quickest, abs(heading[-1] - heading[0])) > config.corner_rad)


def _end(strands: list[Strand], end: int) -> F64:
    result: F64 = strands[end // 2].xy_m[0 if end % 2 == 0 else -1]
    return result
