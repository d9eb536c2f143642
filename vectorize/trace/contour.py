"""Road boundaries as sub-pixel iso-contours of drivable probability."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from scipy.ndimage import uniform_filter1d
from skimage.measure import find_contours

from recon.arrays import F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence, smooth_known
from vectorize.trace.confidence import BACKGROUND
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import BoundaryConfig, TraceConfig

SMOOTH_M = 0.12  # of the raster before contouring: about one cell, against stairs
LEAST_SMOOTH_PX = 0.7  # below that a Gaussian kernel no longer resembles one
BEYOND_PROBES = 1.5  # distance of the ground that lies behind a kerb, in probe distances: past its blur
NO_OTHER = 1e-3  # probability of anything but road below which its share of BACKGROUND is not divided by it
SHAKY_SPREAD_M = 1.0  # around a doubtful vertex the edge is doubted too
GAP_M = 0.5  # of vertices without contrast that a kept stretch may bridge
RING_SHARE = 0.8  # of a ring that must be kept for it to stay a ring
HEADING_SMOOTH_M = 0.5  # the ripple of single cells is no tooth
ROUNDING = 1e-9  # what a running mean of zeros may leave


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edge:
    """A stretch of the edge of the drivable area, evenly sampled."""

    strand: Strand  # `paint` holds the evidence 0..1, `faint` marks edges against BACKGROUND
    closed: bool


def find_edges(evidence: Evidence, config: TraceConfig) -> list[Edge]:
    """Return edges of the drivable area with both sides known, rings (islands) first, in a fixed order."""
    cell = evidence.grid.cell_m
    drivable = smooth_known(evidence.drivable, evidence.known, max(SMOOTH_M / cell, LEAST_SMOOTH_PX))
    # Next to an unseen cell the smoothed value leans on one side only, so that edge is not read.
    trusted = cv2.erode(evidence.known.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    edges: list[Edge] = []
    contours: list[F64] = find_contours(drivable, 0.5, mask=trusted)  # type: ignore[no-untyped-call]
    for contour in contours:
        if len(contour) * cell < 0.5 * config.min_boundary_m:
            continue
        xy = evidence.grid.to_m(contour[:, ::-1] + 0.5)
        closed = bool(np.all(contour[0] == contour[-1]))
        if polyline.length_of(xy) >= config.min_boundary_m:
            edges += _supported(evidence, xy, closed, config)
    return sorted(edges, key=lambda e: (not e.closed, -e.strand.length_m, *e.strand.xy_m[0].tolist()))


def _supported(evidence: Evidence, xy_m: F64, closed: bool, config: TraceConfig) -> list[Edge]:
    """Smooth one contour and return its stretches that evidence supports."""
    boundary = config.boundary
    probe_m = boundary.probe_m
    line = polyline.resample(xy_m, STEP_M)
    line = polyline.smooth(line[:-1] if closed else line, boundary.smooth_m / STEP_M, closed=closed)
    normal = polyline.left_normals(polyline.tangents(line, closed=closed))
    left, right = line + probe_m * normal, line - probe_m * normal
    on_left, on_right = evidence.sample(evidence.drivable, left), evidence.sample(evidence.drivable, right)
    outward = np.where((on_left < on_right)[:, None], normal, -normal)
    outside = line + probe_m * outward
    contrast = np.clip(np.abs(on_left - on_right), 0.0, 1.0)
    trust = np.minimum(evidence.sample(evidence.trust, outside), evidence.sample(evidence.trust, 2 * line - outside))
    beyond = line + BEYOND_PROBES * probe_m * outward
    background = evidence.sample(evidence.background, beyond)
    other = 1.0 - evidence.sample(evidence.drivable, beyond)
    weak_side = background > 0.5 * np.maximum(other, NO_OTHER)
    turning = _needless_turning(line, closed, boundary.background_turn_window_m)
    smoothness = np.exp(-((turning / boundary.background_turn_rad) ** 2))
    shaky = (smoothness < boundary.background_min_smoothness) | (trust < boundary.background_min_trust)
    shaky |= contrast < boundary.background_min_contrast
    keep = ~(weak_side & _spread(shaky, SHAKY_SPREAD_M)) & (contrast > boundary.min_contrast)
    value = contrast * np.where(weak_side, BACKGROUND * smoothness, 1.0)
    if closed and keep.mean() > RING_SHARE:
        road_on_left = bool(np.mean(on_left > on_right) > 0.5)
        if _is_speck(line, road_on_left, boundary):
            return []
        return [Edge(strand=_strand(line, value, weak_side), closed=True)]
    keep = polyline.close_gaps(keep, round(GAP_M / STEP_M))
    shortest = config.min_boundary_m / STEP_M
    spans = [(a, b) for a, b in polyline.runs(keep) if b - a >= 0.5 * shortest]
    return [Edge(strand=_strand(line[a:b], value[a:b], weak_side[a:b]), closed=False) for a, b in spans]


def _is_speck(ring: F64, road_on_left: bool, config: BoundaryConfig) -> bool:
    """Return whether a ring is too small for an island, or for a road with other ground all around."""
    if len(ring) < 3:
        return True
    area_m2 = shapely.Polygon(ring).area
    if shapely.LinearRing(ring).is_ccw == road_on_left:
        return bool(area_m2 < config.min_road_m2)
    sides = np.linalg.norm(
        np.diff(shapely.get_coordinates(shapely.oriented_envelope(shapely.Polygon(ring))), axis=0), axis=1
    )
    return bool(area_m2 < config.min_island_m2 and sides.max() < config.min_island_m)


def _strand(xy_m: F64, value: F64, weak_side: Bool) -> Strand:
    return Strand(xy_m=xy_m, paint=value, bridged=np.zeros(len(xy_m), dtype=bool), faint=weak_side, width_m=1.0)


def _spread(mask: Bool, reach_m: float) -> Bool:
    size = 2 * round(reach_m / STEP_M) + 1
    result: Bool = uniform_filter1d(mask.astype(np.float64), size, mode="nearest") > ROUNDING
    return result


def _needless_turning(line: F64, closed: bool, window_m: float) -> F64:
    """Return (N,) radians turned within a window beyond what the stretch needs to get from its first to last heading.

    A street corner turns once and scores zero; the teeth that smeared vehicles leave turn to and fro.
    """
    heading = np.unwrap(np.arctan2(*polyline.tangents(line, closed=closed).T[::-1]))
    heading = polyline.smooth(heading[:, None], HEADING_SMOOTH_M / STEP_M)[:, 0]
    total = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(heading)))])
    half = round(window_m / STEP_M / 2)
    index = np.arange(len(line))
    low, high = np.maximum(index - half, 0), np.minimum(index + half, len(line) - 1)
    excess: F64 = (total[high] - total[low]) - np.abs(heading[high] - heading[low])
    return excess
