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
LEAST_VERTICES = 3  # that show a direction
DIRECTION_M = (0.4, 2.4)  # before the end, where its direction is taken: the tip itself may bend
INWARD_M, OUTWARD_M = 0.4, 1.0  # from the traced end, where the end of the paint is searched
FINE_M = 0.02  # between the places of that search
HOOK_M = 0.1  # of the last vertex beside the course of its line: curves leave it less
HALF = 0.5  # of the paint: a smoothed edge has that height where the paint ends
NEAR_M = 0.25  # from another line: an end there is a junction, and stays


def to_paint_ends(evidence: Evidence, smoothed: F32, lines: Sequence[F64]) -> list[F64]:
    """Return dense lines (N, 2) that end where `smoothed` falls to half of its height before the end.

    An end at another line is a junction and stays: beyond it the paint is that of the other line.
    """
    tree = cKDTree(np.concatenate([np.zeros((0, 2)), *lines]))
    owner = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    result = []
    for index, line in enumerate(lines):
        moved = line
        for _ in range(2):  # both ends, and back to the order of the vertices
            others = tree.query_ball_point(moved[-1], NEAR_M)
            free = not np.any(owner[others] != index) or _is_hook(moved)
            moved = (_to_end(evidence, smoothed, moved) if free else moved)[::-1]
        result.append(moved)
    return result


def _course(line: F64) -> tuple[F64, F64]:
    """Return a place of a line before its tip, and the unit direction in which it goes on from there."""
    tip, base = (min(round(m / STEP_M), len(line)) for m in DIRECTION_M)
    before = line[len(line) - base : len(line) - tip]
    if len(before) < LEAST_VERTICES:
        before = line
    middle = before.mean(axis=0)
    axis = np.linalg.svd(before - middle, full_matrices=False)[2][0]
    return middle, axis if axis @ (before[-1] - before[0]) >= 0 else -axis


def _is_hook(line: F64) -> bool:
    """Return whether the last vertex leaves the course of a line: thinning draws a dash to the line beside it."""
    middle, direction = _course(line)
    offset = line[-1] - middle
    return bool(abs(offset[0] * direction[1] - offset[1] * direction[0]) > HOOK_M)


def _to_end(evidence: Evidence, smoothed: F32, line: F64) -> F64:
    """Return a line whose last vertex lies where the paint ends."""
    _, direction = _course(line)
    level = evidence.sample(smoothed, line[-round(LEVEL_M / STEP_M) :]).max()
    inward = min(INWARD_M, polyline.length_of(line) / 2)
    inner = line[: len(line) - round(inward / STEP_M)]
    way = np.arange(-inward, OUTWARD_M, FINE_M)
    # From the last inner vertex the search goes straight on, along the course of the line before its tip.
    places = inner[-1] + (way + inward)[:, None] * direction
    # What lies beyond the seen ground is not known: the paint may go on there, the line does not.
    dark = np.flatnonzero((evidence.sample(smoothed, places) < HALF * level) | ~evidence.is_known(places))
    if not dark.size or dark[0] == 0:
        return line
    return polyline.resample(np.concatenate([inner, places[dark[0] - 1 : dark[0]]]), STEP_M)
