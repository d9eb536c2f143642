"""The outline of an area of paint where a part of it was not seen."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.lines.strand import STEP_M

INWARD_M = 0.2  # from an outline to where its cells are read


def moved_inward(points: F64, middle: F64) -> F64:
    """Return points (N, 2) moved a little towards the middle (2,) of their ring, where its cells are read."""
    way = middle - points
    moved: F64 = points + INWARD_M * way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), INWARD_M)
    return moved


def with_ends_of_view(evidence: Evidence, ring: F64) -> F64:
    """Return a ring with a vertex on each side of every place where a side of it leaves what was seen.

    Confidence is interpolated along a side: without them an unseen corner costs the seen part of its sides theirs.
    """
    middle = ring.mean(axis=0)
    parts = []
    for ends in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        side = polyline.resample(np.stack(ends), STEP_M)
        known = evidence.is_known(moved_inward(side, middle))
        cuts = np.flatnonzero(known[1:] != known[:-1])
        if len(cuts) > 1:
            # At the edge of the view seen and unseen cells alternate: the first and the last change are kept.
            cuts = cuts[[0, -1]] if known[0] == known[-1] else cuts[-1:]
        kept = np.unique(np.concatenate([[0], cuts, cuts + 1]))
        parts.append(side[kept[kept < len(side) - 1]])
    return np.concatenate(parts)
