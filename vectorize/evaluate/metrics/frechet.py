"""Discrete Frechet distance between two lines, which respects the order of their points.

d(i, j) = max(min(d(i-1, j), d(i-1, j-1), d(i, j-1)), |a_i - b_j|). The direction of a line and
the starting point of a ring have no meaning in a map: the distance is the smallest over both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recon.arrays import F64
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.sampled_element import SampledElement

BATCH = 256
PENDING = 4096


def frechet(a: F64, b: F64) -> F64:
    """Return (K,) discrete Frechet distances of K pairs of lines (K, N, 2) in their given order.

    All pairs are computed together, anti-diagonal by anti-diagonal: diagonal k holds d(i, k - i) for every valid i.
    Squared distances have the same order as distances, so the root is taken once.
    """
    count, n = a.shape[:2]
    result = np.empty(count)
    for start in range(0, count, BATCH):
        p, q = (np.ascontiguousarray(side[start : start + BATCH].transpose(2, 1, 0)) for side in (a, b))
        q = q[:, ::-1]  # with j falling while i rises, a diagonal is one slice of each
        last, before = np.full((2, n + 1, p.shape[2]), np.inf)  # row i + 1 belongs to point i
        before[0] = -np.inf  # every traversal begins at (0, 0)
        for k in range(2 * n - 1):
            low, high = max(0, k - n + 1), min(k, n - 1) + 1
            dx, dy = p[:, low:high] - q[:, n - 1 - k + low : n - 1 - k + high]
            apart = dx * dx + dy * dy
            reached = np.minimum(last[low + 1 : high + 1], last[low:high])
            np.minimum(reached, before[low:high], out=reached)
            # The diagonal before the last is not needed again: the new one takes its memory.
            before[low + 1 : high + 1] = np.maximum(reached, apart)
            before[: low + 1] = np.inf
            before[high + 1 :] = np.inf
            last, before = before, last
        result[start : start + BATCH] = np.sqrt(last[n])
    return result


def traversals(a: SampledElement, b: SampledElement, config: EvaluateConfig) -> Iterator[tuple[F64, F64]]:
    """Yield the pairs of point rows whose distance may be within reach, over directions and starting points.

    The first points and the last points of a pair must be within reach, which excludes most starting points at once.
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
    """Collects pairs of many distance matrices and solves them together."""

    def __init__(self, config: EvaluateConfig) -> None:
        self.config = config
        self._waiting: dict[int, list[tuple[F64, int, int, F64, F64]]] = {}

    def add(self, matrix: F64, i: int, j: int, a: SampledElement, b: SampledElement) -> None:
        """Add a pair; `solve` lowers `matrix[i, j]` to its distance where that is within reach."""
        for p, q in traversals(a, b, self.config):
            waiting = self._waiting.setdefault(len(p), [])
            waiting.append((matrix, i, j, p, q))
            if len(waiting) >= PENDING:
                self._solve(len(p))

    def solve(self) -> None:
        """Solve all remaining pairs."""
        for length in list(self._waiting):
            self._solve(length)

    def _solve(self, length: int) -> None:
        waiting = self._waiting.pop(length)
        found = frechet(np.array([w[3] for w in waiting]), np.array([w[4] for w in waiting]))
        for (matrix, i, j, _, _), value in zip(waiting, found.tolist(), strict=True):
            if value <= self.config.reach_m:
                matrix[i, j] = min(matrix[i, j], value)
