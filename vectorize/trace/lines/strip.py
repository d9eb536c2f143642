"""Strips of another surface that nets take for paint: gutters of brick or concrete, rail beds, rows of setts.

They are as long and as bright as lines, but wider than any, and a net is never sure of them. Width is judged in the
colours of the images: the class of a thin line is blurred by the net, but its brightness is sharp. Two thin lines side
by side are as wide; they are strong, or show a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

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
DOUBTFUL_SHARE = 0.8  # of the widths of a strip, from which a line may be one
VALLEY = 0.85  # of the lower of two crests: a deeper valley between them is the gap of a double line
LEAST_CONTRAST = 1.15  # of the crest over the brighter side: with less the colours say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """How wide a line is in the classes and in the colours, and how sure the net is of it."""

    probability: float  # of marking, on the crest
    mark_m: float  # width of the marking probability
    light_m: float  # width of the brightness; 0 where the colours say nothing
    valley: float  # between two crests of the brightness, over the lower one

    @classmethod
    def of(cls, evidence: Evidence, strand: Strand) -> Self:
        """Measure a strand where it is painted: medians over windows along it."""
        on = np.flatnonzero(~strand.bridged & ~strand.faint)
        if not on.size:
            return cls(probability=0.0, mark_m=0.0, light_m=0.0, valley=1.0)
        offset = np.arange(-ACROSS_M, ACROSS_M + ACROSS_STEP_M / 2, ACROSS_STEP_M)
        place = polyline.across(strand.xy_m, offset)[on]
        count = max(1, round(on.size * STEP_M / WINDOW_M))
        mark, light = (
            np.array([window.mean(axis=0) for window in np.array_split(evidence.sample(raster, place), count)])
            for raster in (evidence.marking, evidence.light)
        )
        crest = np.abs(offset) <= CREST_M
        ground = np.maximum(*(np.median(light[:, side], axis=1) for side in (offset <= -GROUND_M, offset >= GROUND_M)))
        clear = light[:, crest].max(axis=1) > LEAST_CONTRAST * ground
        above = (light - ground[:, None])[clear]
        told = bool(clear.mean() > 0.5)
        return cls(
            probability=float(np.median(mark[:, crest].max(axis=1))),
            mark_m=float(np.median([_width(profile, crest) for profile in mark])),
            light_m=float(np.median([_width(profile, crest) for profile in above])) if told else 0.0,
            valley=float(np.median([_valley(profile, crest) for profile in above])) if told else 1.0,
        )

    def is_strip(self, config: DividerConfig, *, trips: int) -> bool:
        """Return whether a line is a strip of another surface; `trips` saw it, which place it a little apart."""
        return self.valley >= VALLEY and self._wide(config, trips, 1.0)

    def is_doubtful(self, config: DividerConfig, *, trips: int) -> bool:
        """Return whether a line may be such a strip: nearly as wide, or with a bright kerb beside it."""
        return self._wide(config, trips, DOUBTFUL_SHARE)

    def _wide(self, config: DividerConfig, trips: int, share: float) -> bool:
        slack_m = config.strip_trips_m if trips > 1 else 0.0
        wide = self.mark_m >= share * config.strip_width_m + slack_m
        return wide and self.light_m >= share * config.strip_light_m + slack_m and self.pale(config)

    def pale(self, config: DividerConfig) -> bool:
        """Return whether the net is less sure than of paint."""
        return self.probability < config.strip_probability


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
