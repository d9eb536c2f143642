"""Road boundaries as sub-pixel iso-contours of drivable probability."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from vectorize.trace.ramps import ground_under_ramps, straight_over_ramps
from vectorize.trace_config import BoundaryConfig, TraceConfig

SMOOTH_M = 0.12  # of the raster before contouring: about one cell, against stairs
LEAST_SMOOTH_PX = 0.7  # below that a Gaussian kernel no longer resembles one
BEYOND_PROBES = 1.5  # distance of the ground that lies behind a kerb, in probe distances: past its blur
KERB_M = (0.1, 0.2, 0.3)  # beyond the edge, where a kerb is searched: it is 10 to 30 cm wide
KERB_SHARE = 0.4  # of a place that is neither road nor BACKGROUND, from which it is a kerb
NO_OTHER = 1e-3  # probability of anything but road below which its share of BACKGROUND is not divided by it
SHAKY_SPREAD_M = 1.0  # around a doubtful vertex the edge is doubted too
STEADY = 0.6  # smoothness of an edge that may be soft
FAINT_CONTRAST = 0.05  # of a soft edge: with less there is none
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
    evidence = replace(evidence, drivable=ground_under_ramps(evidence))
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
    line, ramp = straight_over_ramps(evidence, line, closed=closed)
    normal = polyline.left_normals(polyline.tangents(line, closed=closed))
    left, right = line + probe_m * normal, line - probe_m * normal
    on_left, on_right = evidence.sample(evidence.drivable, left), evidence.sample(evidence.drivable, right)
    outward = np.where((on_left < on_right)[:, None], normal, -normal)
    outside = line + probe_m * outward
    contrast = np.clip(np.abs(on_left - on_right), 0.0, 1.0)
    if ramp.any():  # paint on both sides has no contrast: the kerb is as sure as before and behind it
        contrast[ramp] = np.interp(np.flatnonzero(ramp), np.flatnonzero(~ramp), contrast[~ramp])
    trust = np.minimum(evidence.sample(evidence.trust, outside), evidence.sample(evidence.trust, 2 * line - outside))
    beyond = line + BEYOND_PROBES * probe_m * outward
    background = evidence.sample(evidence.background, beyond)
    other = 1.0 - evidence.sample(evidence.drivable, beyond)
    weak_side = (background > 0.5 * np.maximum(other, NO_OTHER)) & ~_has_kerb(evidence, line, outward)
    turning = _needless_turning(line, closed, boundary.background_turn_window_m)
    smoothness = np.exp(-((turning / boundary.background_turn_rad) ** 2))
    shaky = (smoothness < boundary.background_min_smoothness) | (trust < boundary.background_min_trust)
    shaky |= contrast < boundary.background_min_contrast
    keep = ~(weak_side & _spread(shaky, SHAKY_SPREAD_M)) & (contrast > boundary.min_contrast)
    keep &= ~_around_vehicles(weak_side, smoothness < boundary.background_min_smoothness, boundary.vehicle_length_m)
    value = contrast * np.where(weak_side, BACKGROUND * smoothness, 1.0)
    if closed and (np.mean(weak_side) > RING_SHARE or keep.mean() > RING_SHARE):
        road_on_left = bool(np.mean(on_left > on_right) > 0.5)
        if _stands_on_road(line, road_on_left, weak_side, boundary):
            return []
    if closed and keep.mean() > RING_SHARE:
        if _is_speck(line, road_on_left, boundary):
            return []
        return [Edge(strand=_strand(line, value, weak_side), closed=True)]
    keep = polyline.close_gaps(keep, round(GAP_M / STEP_M))
    steady = (smoothness >= STEADY) & (trust >= boundary.background_min_trust) & (contrast > FAINT_CONTRAST)
    soft = _steady_gaps(keep, steady, boundary.soft_gap_m)
    keep |= soft
    shortest = config.min_boundary_m / STEP_M
    spans = [(a, b) for a, b in polyline.runs(keep) if b - a >= 0.5 * shortest]
    return [
        Edge(strand=replace(_strand(line[a:b], value[a:b], weak_side[a:b]), bridged=soft[a:b]), closed=False)
        for a, b in spans
    ]


def _is_speck(ring: F64, road_on_left: bool, config: BoundaryConfig) -> bool:
    """Return whether a ring is too small for an island, or for a road with other ground all around."""
    if len(ring) < 3:
        return True
    area_m2 = shapely.Polygon(ring).area
    if shapely.LinearRing(ring).is_ccw == road_on_left:
        return bool(area_m2 < config.min_road_m2)
    return bool(area_m2 < config.min_island_m2 and _sides(ring).max() < config.min_island_m)


def _has_kerb(evidence: Evidence, line: F64, outward: F64) -> Bool:
    """Return (N,) where a kerb, or other ground, lies between the road and what is beyond it."""
    rims = [line + away * outward for away in KERB_M]
    ground = [1.0 - evidence.sample(evidence.drivable, rim) - evidence.sample(evidence.background, rim) for rim in rims]
    result: Bool = np.max(ground, axis=0) > KERB_SHARE
    return result


def _steady_gaps(keep: Bool, steady: Bool, longest_m: float) -> Bool:
    """Return (N,) the gaps between kept stretches over which the same edge goes on steadily, only softer."""
    result = np.zeros(len(keep), dtype=bool)
    for start, stop in polyline.runs(~keep):
        inner = start > 0 and stop < len(keep) and (stop - start) * STEP_M <= longest_m
        result[start:stop] = inner and bool(steady[start:stop].all())
    return result


def _around_vehicles(weak_side: Bool, turns: Bool, longest_m: float) -> Bool:
    """Return (N,) the sides of what bulges into the road: short stretches against BACKGROUND between two steps.

    At a step the edge turns to and fro: out to the side of a parked vehicle, and back behind it. The side of a long one
    is as straight as a wall, but a wall does not step back.
    """
    result = np.zeros(len(weak_side), dtype=bool)
    for start, stop in polyline.runs(weak_side & ~turns):
        between_steps = start > 0 and stop < len(turns) and turns[start - 1] and turns[stop]
        result[start:stop] = between_steps and (stop - start) * STEP_M <= longest_m
    return result


def _stands_on_road(ring: F64, road_on_left: bool, weak_side: Bool, config: BoundaryConfig) -> bool:
    """Return whether a ring goes round a thing of a vehicle's size that no kerb and no other ground surrounds."""
    if len(ring) < 3 or shapely.LinearRing(ring).is_ccw == road_on_left or np.mean(weak_side) <= RING_SHARE:
        return False
    width, length = np.sort(_sides(ring))
    return bool(config.wall_width_m <= width <= config.vehicle_width_m and length <= config.vehicle_length_m)


def _sides(ring: F64) -> F64:
    """Return the lengths (2,) of the sides of the rectangle around a ring."""
    corners = shapely.get_coordinates(shapely.oriented_envelope(shapely.Polygon(ring)))
    result: F64 = np.linalg.norm(np.diff(corners, axis=0), axis=1)[:2]
    return result


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
