"""A one-pixel skeleton as a graph: junction nodes, the branches between them, and the lines that run through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from recon.arrays import F64, I64, Bool

FREE = -1  # the node of a branch end that meets nothing
STRAIGHT_DEG = 35.0  # largest bend at which a line runs through a junction
PASSES = 2  # of pruning: a spur on a spur is short once the first is gone
NEAR_PX, BASE_PX = 6, 15  # from its node, between which the direction of a branch is taken
OFFSETS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))


@dataclass(slots=True, eq=False)
class Branch:
    """A chain of pixels from one node to another."""

    points: F64  # (N, 2) pixel coordinates (column, row) of cell centres; node centroids included
    first: int
    last: int

    @property
    def length_px(self) -> float:
        """Return the length in pixels."""
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())


def trace_lines(skeleton: Bool, *, spur_px: float) -> list[F64]:
    """Return lines (N, 2) of (column, row) that together cover the skeleton.

    Spurs shorter than `spur_px` go. At a junction the two branches that continue each other best become one line
    and every other branch ends at the junction, so that no branch is lost.
    """
    branches = _branches(skeleton)
    for _ in range(PASSES):
        branches = [b for b in branches if not ((b.first < 0) != (b.last < 0) and b.length_px < spur_px)]
        branches = _join(branches, straight_deg=180.0, only_degree_two=True)
    return [b.points for b in _join(branches, straight_deg=STRAIGHT_DEG, only_degree_two=False)]


def _neighbours(skeleton: Bool) -> tuple[I64, list[list[int]]]:
    """Return pixels (N, 2) as (row, column) and their 8-neighbours without links that merely cut a corner."""
    pixels = np.argwhere(skeleton).astype(np.int64)
    index = np.full((skeleton.shape[0] + 2, skeleton.shape[1] + 2), -1, dtype=np.int32)
    index[pixels[:, 0] + 1, pixels[:, 1] + 1] = np.arange(len(pixels))
    table = np.stack([index[pixels[:, 0] + 1 + dy, pixels[:, 1] + 1 + dx] for dy, dx in OFFSETS], axis=1)
    for k, (dy, dx) in enumerate(OFFSETS[4:], start=4):
        corner = (table[:, OFFSETS.index((dy, 0))] >= 0) | (table[:, OFFSETS.index((0, dx))] >= 0)
        table[corner, k] = -1
    return pixels, [[n for n in row if n >= 0] for row in table.tolist()]


def _branches(skeleton: Bool) -> list[Branch]:
    pixels, links = _neighbours(skeleton)
    if not len(pixels):
        return []
    degree = np.array([len(n) for n in links])
    node_of, centres = _nodes(pixels, links, degree)
    centre_points: F64 = pixels[:, ::-1].astype(np.float64) + 0.5
    used = np.zeros(len(pixels), dtype=bool)
    branches: list[Branch] = []

    def walk(start: int, node: int) -> None:
        chain, before, here = [start], -1, start
        used[start] = True
        end = FREE
        while True:
            ahead = [n for n in links[here] if n != before and (n == start or not used[n] or node_of[n] >= 0)]
            free = [n for n in ahead if node_of[n] < 0 and not used[n]]
            if free:
                before, here = here, free[0]
                chain.append(here)
                used[here] = True
                continue
            nodes = [int(node_of[n]) for n in ahead if node_of[n] >= 0]
            others = nodes if len(chain) > 1 else [n for n in nodes if n != node] or nodes[1:]
            if others:
                end = others[0]
            break
        points: F64 = centre_points[chain]
        if node >= 0:
            points = np.concatenate([centres[node][None], points])
        if end >= 0:
            points = np.concatenate([points, centres[end][None]])
        branches.append(Branch(points=points, first=node, last=end))

    for pixel in np.flatnonzero(node_of >= 0).tolist():
        for neighbour in links[pixel]:
            if node_of[neighbour] < 0 and not used[neighbour]:
                walk(neighbour, int(node_of[pixel]))
    for pixel in np.flatnonzero(degree <= 1).tolist():
        if not used[pixel] and node_of[pixel] < 0:
            walk(pixel, FREE)
    for pixel in range(len(pixels)):  # what is left are closed loops
        if not used[pixel] and node_of[pixel] < 0:
            walk(pixel, FREE)
            ring = branches[-1].points
            branches[-1].points = np.concatenate([ring, ring[:1]])
    return [b for b in branches if len(b.points) >= 2]


def _nodes(pixels: I64, links: list[list[int]], degree: I64) -> tuple[I64, F64]:
    """Return the node of every pixel (FREE if none) and the nodes' centroids (column, row)."""
    node_of = np.full(len(pixels), FREE, dtype=np.int64)
    junction = np.flatnonzero(degree >= 3)
    if not len(junction):
        return node_of, np.zeros((0, 2))
    pairs = [(p, n) for p in junction.tolist() for n in links[p] if degree[n] >= 3]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(pixels), len(pixels)))
    labels = connected_components(graph, directed=False)[1][junction]
    _, compact = np.unique(labels, return_inverse=True)
    node_of[junction] = compact
    count = np.bincount(compact)
    sums = [np.bincount(compact, weights=pixels[junction, axis] + 0.5) / count for axis in (1, 0)]
    return node_of, np.stack(sums, axis=1)


def _outward(branch: Branch, at_first: bool) -> tuple[F64, F64]:
    """Return where a branch has left its node, and the unit direction in which it goes on from there."""
    points = branch.points if at_first else branch.points[::-1]
    near, far = (NEAR_PX, BASE_PX) if len(points) > BASE_PX else (0, len(points) - 1)
    direction = points[far] - points[near]
    result: F64 = direction / max(float(np.hypot(*direction)), 1e-9)
    return points[near], result


def _bend_deg(one: tuple[F64, F64], other: tuple[F64, F64]) -> tuple[float, float]:
    """Return the turn from one branch into another, and the same with the sideways step between them.

    Two lines side by side meet in a node midway: through it, the step from one to the other would look straight.
    """
    turn = float(np.degrees(np.arccos(np.clip(-one[1] @ other[1], -1, 1))))
    step = other[0] - one[0]
    length = float(np.hypot(*step))
    aside = abs(float(step[0] * one[1][1] - step[1] * one[1][0])) / length if length > 0 else 0.0
    return turn, turn + float(np.degrees(np.arcsin(min(aside, 1.0))))


def _join(branches: list[Branch], *, straight_deg: float, only_degree_two: bool) -> list[Branch]:
    """Join branches pairwise at nodes, straightest pair first."""
    incident: dict[int, list[tuple[int, bool]]] = {}
    for i, branch in enumerate(branches):
        for node, at_first in ((branch.first, True), (branch.last, False)):
            if node >= 0:
                incident.setdefault(node, []).append((i, at_first))
    partner: dict[tuple[int, bool], tuple[int, bool]] = {}
    for ends in incident.values():
        if only_degree_two and len(ends) != 2:
            continue
        leaving = [_outward(branches[i], at_first) for i, at_first in ends]
        bends = sorted(
            (*_bend_deg(leaving[a], leaving[b])[::-1], a, b) for a in range(len(ends)) for b in range(a + 1, len(ends))
        )
        for _, turn, a, b in bends:
            if turn <= straight_deg and ends[a] not in partner and ends[b] not in partner:
                partner[ends[a]], partner[ends[b]] = ends[b], ends[a]
    done: set[int] = set()
    joined: list[Branch] = []
    order = sorted(range(len(branches)), key=lambda i: ((i, True) in partner) + ((i, False) in partner))
    for i in order:
        if i in done:
            continue
        enter_first = (i, True) not in partner  # begin at a loose end, so that the walk covers the whole line
        line = _follow(branches, partner, (i, enter_first), done)
        joined.append(line)
    return joined


def _follow(
    branches: list[Branch],
    partner: dict[tuple[int, bool], tuple[int, bool]],
    entry: tuple[int, bool],
    done: set[int],
) -> Branch:
    pieces: list[F64] = []
    index, enter_first = entry
    start = branches[index].first if enter_first else branches[index].last
    while index not in done:
        done.add(index)
        branch = branches[index]
        points = branch.points if enter_first else branch.points[::-1]
        end = branch.last if enter_first else branch.first
        pieces.append(points if not pieces else points[1:])
        following = partner.get((index, not enter_first))
        if following is None:
            break
        index, enter_first = following
    return Branch(points=np.concatenate(pieces), first=start, last=end)
