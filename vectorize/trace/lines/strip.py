"""Strips of another surface that nets take for paint: gutters of brick or concrete, rail beds, rows of setts.

They are as long and as bright as lines, but wider than any, and a net is never sure of them. Width is judged in the
colours of the images: the class of a thin line is blurred by the net, but its brightness is sharp. Two thin lines side
by side are as wide; they are strong, or show a gap.
"""

from __future__ import annotations

import numpy as np

from recon.arrays import F64, Bool
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.lines.strand import STEP_M, Strand
from vectorize.trace_config import DividerConfig

ACROSS_M, ACROSS_STEP_M = 1.2, 0.05  # each side of the line, where its profile is read
CREST_M = 0.3  # from the axis, within which the crest lies
GROUND_M = 0.6  # from the axis on, where the ground beside the line is read
WINDOW_M = 2.0  # over which profiles are averaged: cells and grain leave
VALLEY = 0.85  # of the lower of two crests: a deeper valley between them is the gap of a double line
LEAST_CONTRAST = 1.15  # of the crest over the brighter side: with less the colours say nothing


def is_strip(evidence: Evidence, strand: Strand, config: DividerConfig, *, trips: int) -> bool:
    """Return whether a line is a strip of another surface; `trips` saw it, which place it a little apart."""
    on = np.flatnonzero(~strand.bridged & ~strand.faint)
    if not on.size:
        return False
    offset = np.arange(-ACROSS_M, ACROSS_M + ACROSS_STEP_M / 2, ACROSS_STEP_M)
    normal = polyline.left_normals(polyline.tangents(strand.xy_m))[on]
    place = strand.xy_m[on][:, None] + offset[:, None] * normal[:, None]
    count = max(1, round(on.size * STEP_M / WINDOW_M))
    mark, light = (
        np.array([window.mean(axis=0) for window in np.array_split(evidence.sample(raster, place), count)])
        for raster in (evidence.marking, evidence.light)
    )
    crest = np.abs(offset) <= CREST_M
    beside = [np.median(light[:, side], axis=1) for side in (offset <= -GROUND_M, offset >= GROUND_M)]
    ground = np.maximum(*beside)
    bright = light[:, crest].max(axis=1)
    clear = bright > LEAST_CONTRAST * ground
    if clear.mean() <= 0.5 or float(np.median(mark[:, crest].max(axis=1))) >= config.strip_probability:
        return False
    above = light[clear] - ground[clear, None]
    if float(np.median([_valley(profile, crest) for profile in above])) < VALLEY:
        return False  # two lines side by side
    wide = [_width(profile, crest) for profile in above]
    marked = [_width(profile, crest) for profile in mark]
    slack_m = config.strip_trips_m if trips > 1 else 0.0
    return bool(
        np.median(wide) >= config.strip_light_m + slack_m and np.median(marked) >= config.strip_width_m + slack_m
    )


def _width(profile: F64, crest: Bool) -> float:
    """Return the full width at half maximum around the highest place of the crest."""
    top = int(np.argmax(np.where(crest, profile, -np.inf)))
    above = profile >= 0.5 * profile[top]
    start, stop = next((a, b) for a, b in polyline.runs(above) if a <= top < b)
    return float((stop - start) * ACROSS_STEP_M)


def _valley(profile: F64, crest: Bool) -> float:
    """Return how deep the profile falls between the highest places on both sides of the axis, over the lower one."""
    half = len(profile) // 2
    left = int(np.argmax(np.where(crest, profile, -np.inf)[:half]))
    right = half + int(np.argmax(np.where(crest, profile, -np.inf)[half:]))
    return float(profile[left : right + 1].min() / max(min(profile[left], profile[right]), 1e-9))
