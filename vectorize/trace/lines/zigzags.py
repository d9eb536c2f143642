"""Zig-zag lines beside zebras: they swing to both sides of their course at one period, and part no lanes."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from recon.arrays import F64
from vectorize import polyline
from vectorize.trace.lines.strand import STEP_M, Strand

COURSE_M = 2.5  # over which the course of a line is smoothed; a zig-zag has a period of at most 4 m
LEAST_SWINGS = 5  # to one side or the other, between two crossings of the course
SWING_M = (0.5, 2.5)  # along the course, from crossing to crossing
REGULAR = 0.3  # spread of these lengths over their mean
LEAST_OFF_M = 0.06  # root mean square of the distance to the course: lines waver by less
END_M = 1.0  # where a smoothed course is drawn inward


def is_zigzag(strand: Strand) -> bool:
    """Return whether a strand swings about its course at one period."""
    end = round(END_M / STEP_M)
    off_m = _off_course(strand.xy_m)[end : len(strand.xy_m) - end]
    crossings = np.flatnonzero(np.diff(np.sign(off_m)) != 0)
    swings_m = np.diff(crossings) * STEP_M
    if len(swings_m) < LEAST_SWINGS or float(np.sqrt(np.mean(off_m**2))) < LEAST_OFF_M:
        return False
    usual = SWING_M[0] <= float(np.median(swings_m)) <= SWING_M[1]
    return usual and float(np.std(swings_m)) <= REGULAR * float(np.mean(swings_m))


def _off_course(xy_m: F64) -> F64:
    """Return (N,) metres to the left of the smoothed course of a line."""
    course = polyline.smooth(xy_m, COURSE_M / STEP_M)
    off_m = np.einsum("ij,ij->i", xy_m - course, polyline.left_normals(polyline.tangents(course)))
    # On a curve the smoothed course lies inside of the line all along.
    result: F64 = off_m - gaussian_filter1d(off_m, COURSE_M / STEP_M, mode="nearest")
    return result
