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
from vectorize.config import TraceConfig
from vectorize.evidence import Evidence, smooth_known
from vectorize.trace.confidence import BACKGROUND
from vectorize.trace.lines.strand import STEP_M, Strand

SMOOTH_M = 0.12
LINE_SMOOTH_M = 0.3
PROBE_M = 0.3  # how far inside and outside the edge the evidence is read
BACKGROUND_TRUST = 0.5  # four views must agree before BACKGROUND counts as the other side
ROUGH_RAD = 1.2  # needless turning within 6 m at which an edge against BACKGROUND stops being believed
WINDOW_M = 6.0
LEAST_ISLAND_M2, SHORTEST_ISLAND_M = 1.5, 2.0  # a separator may be narrow: only specks are small both ways
LEAST_ROAD_M2 = 20.0  # of road with other ground all around: on less no vehicle stands, a net was mistaken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edge:
    """A stretch of the drivable area's rim, evenly sampled."""

    strand: Strand  # `paint` holds the evidence 0..1, `faint` tells edges against BACKGROUND
    closed: bool


def find_edges(evidence: Evidence, config: TraceConfig) -> list[Edge]:
    """Return edges of the drivable area with both sides known, rings (islands) first, in a fixed order."""
    cell = evidence.grid.cell_m
    drivable = smooth_known(evidence.drivable, evidence.known, max(SMOOTH_M / cell, 0.7))
    # Next to an unseen cell the smoothed value leans on one side only, so that rim is not read.
    trusted = cv2.erode(evidence.known.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    edges: list[Edge] = []
    contours: list[F64] = find_contours(drivable, 0.5, mask=trusted)  # type: ignore[no-untyped-call]
    for contour in contours:
        if len(contour) * cell < 0.5 * config.min_boundary_m:
            continue
        xy = evidence.grid.to_m(contour[:, ::-1] + 0.5)
        closed = bool(np.all(contour[0] == contour[-1]))
        if polyline.length_of(xy) >= config.min_boundary_m:
            edges += _believed(evidence, xy, closed, config)
    return sorted(edges, key=lambda e: (not e.closed, -e.strand.length_m, *e.strand.xy_m[0].tolist()))


def _believed(evidence: Evidence, xy_m: F64, closed: bool, config: TraceConfig) -> list[Edge]:
    """Smooth one contour and return its stretches that evidence supports."""
    line = polyline.resample(xy_m, STEP_M)
    if closed:
        line = polyline.smooth(line[:-1], LINE_SMOOTH_M / STEP_M, closed=True)
    else:
        line = polyline.smooth(line, LINE_SMOOTH_M / STEP_M)
    normal = polyline.left_normals(polyline.tangents(line, closed=closed))
    left, right = line + PROBE_M * normal, line - PROBE_M * normal
    on_left, on_right = evidence.sample(evidence.drivable, left), evidence.sample(evidence.drivable, right)
    outward = np.where((on_left < on_right)[:, None], normal, -normal)
    outside = line + PROBE_M * outward
    contrast = np.clip(np.abs(on_left - on_right), 0.0, 1.0)
    trust = np.minimum(evidence.sample(evidence.trust, outside), evidence.sample(evidence.trust, 2 * line - outside))
    beyond = line + 1.5 * PROBE_M * outward
    background = evidence.sample(evidence.background, beyond)
    other = 1.0 - evidence.sample(evidence.drivable, beyond)
    weak_side = background > 0.5 * np.maximum(other, 1e-3)
    smoothness = np.exp(-((_needless_turning(line, closed) / ROUGH_RAD) ** 2))
    shaky = (smoothness < 0.3) | (trust < BACKGROUND_TRUST) | (contrast < 0.35)
    keep = ~(weak_side & _spread(shaky, 1.0)) & (contrast > 0.15)
    value = contrast * np.where(weak_side, BACKGROUND * smoothness, 1.0)
    if closed and keep.mean() > 0.8:
        road_on_left = bool(np.mean(on_left > on_right) > 0.5)
        return [] if _is_speck(line, road_on_left) else [Edge(strand=_strand(line, value, weak_side), closed=True)]
    keep = polyline.close_gaps(keep, round(0.5 / STEP_M))
    shortest = config.min_boundary_m / STEP_M
    spans = [(a, b) for a, b in polyline.runs(keep) if b - a >= 0.5 * shortest]
    return [Edge(strand=_strand(line[a:b], value[a:b], weak_side[a:b]), closed=False) for a, b in spans]


def _is_speck(ring: F64, road_on_left: bool) -> bool:
    """Return whether a ring is too small for an island, or for a road with other ground all around."""
    if len(ring) < 3:
        return True
    area_m2 = shapely.Polygon(ring).area
    if shapely.LinearRing(ring).is_ccw == road_on_left:
        return bool(area_m2 < LEAST_ROAD_M2)
    sides = np.linalg.norm(
        np.diff(shapely.get_coordinates(shapely.oriented_envelope(shapely.Polygon(ring))), axis=0), axis=1
    )
    return bool(area_m2 < LEAST_ISLAND_M2 and sides.max() < SHORTEST_ISLAND_M)


def _strand(xy_m: F64, value: F64, weak_side: Bool) -> Strand:
    return Strand(xy_m=xy_m, paint=value, bridged=np.zeros(len(xy_m), dtype=bool), faint=weak_side, width_m=1.0)


def _spread(mask: Bool, reach_m: float) -> Bool:
    size = 2 * round(reach_m / STEP_M) + 1
    result: Bool = uniform_filter1d(mask.astype(np.float64), size, mode="nearest") > 1e-9
    return result


def _needless_turning(line: F64, closed: bool) -> F64:
    """Return (N,) radians turned within WINDOW_M beyond what the stretch needs to get from its first to last heading.

    A street corner turns once and scores zero; the teeth that smeared vehicles leave turn to and fro.
    """
    heading = np.unwrap(np.arctan2(*polyline.tangents(line, closed=closed).T[::-1]))
    # Half a metre of smoothing: the ripple of single cells is no tooth.
    heading = polyline.smooth(heading[:, None], 0.5 / STEP_M)[:, 0]
    total = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(heading)))])
    half = round(WINDOW_M / STEP_M / 2)
    index = np.arange(len(line))
    low, high = np.maximum(index - half, 0), np.minimum(index + half, len(line) - 1)
    excess: F64 = (total[high] - total[low]) - np.abs(heading[high] - heading[low])
    return excess
