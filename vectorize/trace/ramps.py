"""The kerb where the paint of a crossing runs over it: the raster calls all paint drivable, and the kerb goes on."""

from __future__ import annotations

import cv2
import numpy as np
import shapely

from recon.arrays import F32, F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.crossings.paint_areas import LEAST, disc
from vectorize.trace.lines.strand import STEP_M

STRIPE_M = 1.2  # widest stripe that other ground on both sides goes on under
PROBES_M = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])  # from an edge, where paint is searched
BETWEEN_M = 1.5  # widest space between stripes that reach the same edge
SHOULDER_M = 0.8  # beyond the paint, over which smoothing bends the edge
COURSE_M = 2.0  # of the edge beyond that, which shows where it goes on
STRIPE_DEEP_M = 1.0  # farthest that a stripe along the kerb moves its edge
DEEP_M = 3.0  # and plain paint
OFF_M = 0.3  # from the course, where the ground between is looked at
BETWEEN_SHARES = 0.2, 0.4, 0.6, 0.8  # of the way from the course to the edge
PLAIN = 0.6  # mean probability of plain paint
LONGEST_M = 15.0  # from shoulder to shoulder: the widest crossing


def ground_under_ramps(evidence: Evidence) -> F32:
    """Return drivable probability (H, W) without stripes that run over the kerb onto other ground.

    Other ground on both sides of a stripe goes on under it. Closing does not move an edge that paint only reaches.
    """
    crosswalk = np.where(evidence.known, evidence.crosswalk, np.float32(0))
    rows, columns = (np.flatnonzero((crosswalk > LEAST).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return evidence.drivable
    ground = evidence.drivable.copy()
    kernel = disc(evidence, STRIPE_M)
    pad = len(kernel)
    window = np.s_[max(0, rows[0] - pad) : rows[-1] + pad, max(0, columns[0] - pad) : columns[-1] + pad]
    off = np.where(evidence.known, 1 - evidence.drivable, np.float32(0))[window]
    closed = cv2.morphologyEx(off, cv2.MORPH_CLOSE, kernel)
    ground[window] = np.minimum(ground[window], 1 - np.minimum(closed, off + crosswalk[window]))
    return ground


def straight_over_ramps(evidence: Evidence, line: F64, *, closed: bool) -> tuple[F64, Bool]:
    """Return an edge (N, 2), STEP_M apart, led straight on where stripes along the kerb bend it, and where (N,).

    A stripe beside the kerb looks like more road. The edge before and behind it shows where the kerb is.
    """
    painted = evidence.sample(evidence.crosswalk, polyline.across(line, PROBES_M, closed=closed)).max(axis=1) > LEAST
    # A ring is walked from a vertex that is far from paint.
    shift = (
        (np.add(*max(polyline.runs(~painted), default=(0, 0), key=lambda run: run[1] - run[0])) // 2) if closed else 0
    )
    painted = polyline.close_gaps(np.roll(painted, -shift), round(BETWEEN_M / STEP_M))
    result, under = np.roll(line, -shift, axis=0), np.zeros(len(line), dtype=bool)
    shoulder, course = round(SHOULDER_M / STEP_M), round(COURSE_M / STEP_M)
    for start, stop in polyline.runs(painted):
        first, last = start - shoulder, stop - 1 + shoulder
        if first < course or last + course >= len(line) or (last - first) * STEP_M > LONGEST_M:
            continue
        edge = result[first : last + 1].copy()
        leave, arrive = edge[0] - result[first - course], result[last + course] - edge[-1]
        chord_m = float(np.hypot(*(edge[-1] - edge[0])))
        leave, arrive = (d * chord_m / max(float(np.hypot(*d)), STEP_M) for d in (leave, arrive))
        curve = polyline.cubic(edge[0], edge[-1], leave, arrive, len(edge))
        if _is_ramp(evidence, edge, curve):
            result[first : last + 1] = curve
            under[first : last + 1] = True
    return np.roll(result, shift, axis=0), np.roll(under, shift)


def _is_ramp(evidence: Evidence, edge: F64, curve: F64) -> bool:
    """Return whether an edge leaves its course (both (N, 2)) for the paint of a crossing, not for a bay or a corner."""
    away_m = shapely.hausdorff_distance(shapely.LineString(curve), shapely.LineString(edge))
    if away_m < STRIPE_DEEP_M:
        return True
    between = [share * edge + (1 - share) * curve for share in BETWEEN_SHARES]
    off = np.hypot(*(edge - curve).T) > OFF_M
    return bool(away_m < DEEP_M and evidence.sample(evidence.crosswalk, np.stack(between)[:, off]).mean() > PLAIN)
