"""Where a traced line ends: at half of its paint, whatever the cells and the thinning made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F32, F64
from vectorize import polyline
from vectorize.evidence import Evidence
from vectorize.trace.lines.strand import STEP_M

LEVEL_M = 1.5  # of a line before its end: the brightest place of it is the paint that ends
DIRECTION_M = (0.3, 2.0)  # before the end, where its direction is taken: the tip itself may bend
INWARD_M, OUTWARD_M = 0.4, 1.0  # from the traced end, where the end of the paint is searched
FINE_M = 0.02  # between the places of that search
HALF = 0.5  # of the paint: a smoothed edge has that height where the paint ends
NEAR_M = 0.25  # from another line: an end there is a junction, and stays
LEAST_VERTICES = 3  # of a line that is long enough for its ends to be moved


def to_paint_ends(evidence: Evidence, smoothed: F32, lines: Sequence[F64]) -> list[F64]:
    """Return dense lines (N, 2) that end where `smoothed` falls to half of its height before the end.

    An end at another line is a junction and stays: beyond it the paint is that of the other line.
    """
    tree = cKDTree(np.concatenate([np.zeros((0, 2)), *lines]))
    owner = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    result = []
    for index, line in enumerate(lines):
        for _ in range(2):  # both ends, and back to the order of the vertices
            others = tree.query_ball_point(line[-1], NEAR_M)
            if len(line) >= LEAST_VERTICES and not np.any(owner[others] != index):
                line = _to_end(evidence, smoothed, line)
            line = line[::-1]
        result.append(line)
    return result


def _to_end(evidence: Evidence, smoothed: F32, line: F64) -> F64:
    """Return a line whose last vertex lies where the paint ends."""
    tip, base = (min(round(m / STEP_M), len(line) - 1) for m in DIRECTION_M)
    start = line[-1 - base]
    direction = line[-1 - tip] - start if base > tip + 1 else line[-1] - line[0]
    direction = direction / max(float(np.hypot(*direction)), FINE_M)
    level = evidence.sample(smoothed, line[-round(LEVEL_M / STEP_M) :]).max()
    inward = min(INWARD_M, polyline.length_of(line) / 2)
    inner = line[: len(line) - round(inward / STEP_M)]
    way = np.arange(-inward, OUTWARD_M, FINE_M)
    # From the last inner vertex the search goes straight on, along the course of the line before its tip.
    places = inner[-1] + (way + inward)[:, None] * direction
    dark = np.flatnonzero(evidence.sample(smoothed, places) < HALF * level)
    if not dark.size or dark[0] == 0:
        return line
    return polyline.resample(np.concatenate([inner, places[dark[0] : dark[0] + 1]]), STEP_M)
