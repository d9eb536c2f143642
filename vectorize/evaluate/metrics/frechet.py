"""Discrete Frechet distance: the shortest leash with which two walkers pass both lines from end to end.

d(i, j) = max(min(d(i-1, j), d(i-1, j-1), d(i, j-1)), |a_i - b_j|). Unlike the Chamfer distance it heeds the order of
points. Direction and, for rings, the starting point carry no meaning in a map: the smallest value over them counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recon.arrays import F64
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.sampled_element import Shape

BATCH = 256
PENDING = 4096


def frechet(a: F64, b: F64) -> F64:
    """Return (K,) discrete Frechet distances of K pairs of lines (K, N, 2) in their given order.

    All pairs advance together over the table's anti-diagonals: diagonal k holds d(i, k - i) for the i it has. Squares
    rise as distances do, so the root is taken once.
    """
    count, n = a.shape[:2]
    result = np.empty(count)
    for start in range(0, count, BATCH):
        p, q = (np.ascontiguousarray(side[start : start + BATCH].transpose(2, 1, 0)) for side in (a, b))
        q = q[:, ::-1]  # with j falling while i rises, a diagonal is one slice of each
        last, before = np.full((2, n + 1, p.shape[2]), np.inf)  # row i + 1 belongs to point i
        before[0] = -np.inf  # the walk may begin at (0, 0)
        for k in range(2 * n - 1):
            low, high = max(0, k - n + 1), min(k, n - 1) + 1
            dx, dy = p[:, low:high] - q[:, n - 1 - k + low : n - 1 - k + high]
            apart = dx * dx + dy * dy
            reached = np.minimum(last[low + 1 : high + 1], last[low:high])
            np.minimum(reached, before[low:high], out=reached)
            # The diagonal before the last is not needed again: its memory takes the new one.
            before[low + 1 : high + 1] = np.maximum(reached, apart)
            before[: low + 1] = np.inf
            before[high + 1 :] = np.inf
            last, before = before, last
        result[start : start + BATCH] = np.sqrt(last[n])
    return result


def walks(a: Shape, b: Shape, config: EvaluateConfig) -> Iterator[tuple[F64, F64]]:
    """Yield the pairs of point rows whose distance may be within reach, over directions and starting points.

    The first and the last points of a walk must meet, so most starting points fall away unseen.
    """
    reach_m = config.reach_m
    if not (a.closed or b.closed):
        for line in (b.line, b.line[::-1]):
            if np.hypot(*(a.line[0] - line[0])) <= reach_m and np.hypot(*(a.line[-1] - line[-1])) <= reach_m:
                yield a.line, line
        return
    closed, second = (a, b) if a.closed else (b, a)
    ring, other = closed.coarse(config.ring_samples), second.coarse(config.ring_samples)
    steps = len(ring) - 1
    meets = np.hypot(*(ring[:-1] - other[0]).T) <= reach_m
    meets &= np.hypot(*(ring[:-1] - other[-1]).T) <= reach_m
    for first in np.flatnonzero(meets).tolist():
        around = ring[(first + np.arange(steps + 1)) % steps]
        yield around, other
        yield around[::-1], other


class FrechetBatch:
    """Collects pairs of many matrices and solves them together."""

    def __init__(self, config: EvaluateConfig) -> None:
        self.config = config
        self._waiting: dict[int, list[tuple[F64, int, int, F64, F64]]] = {}

    def add(self, matrix: F64, i: int, j: int, a: Shape, b: Shape) -> None:
        """Ask for the distance of a pair; `solve` lowers `matrix[i, j]` to it where it is within reach."""
        for p, q in walks(a, b, self.config):
            waiting = self._waiting.setdefault(len(p), [])
            waiting.append((matrix, i, j, p, q))
            if len(waiting) >= PENDING:
                self._solve(len(p))

    def solve(self) -> None:
        """Solve what is left."""
        for length in list(self._waiting):
            self._solve(length)

    def _solve(self, length: int) -> None:
        waiting = self._waiting.pop(length)
        found = frechet(np.array([w[3] for w in waiting]), np.array([w[4] for w in waiting]))
        for (matrix, i, j, _, _), value in zip(waiting, found.tolist(), strict=True):
            if value <= self.config.reach_m:
                matrix[i, j] = min(matrix[i, j], value)
