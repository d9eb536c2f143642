"""Closed lines that were predicted keyframe by keyframe, fused into the closed lines of a site.

A ring has no ends and no direction: every prediction starts somewhere else and runs either way round. So rings are
compared and averaged as outlines, each place with the nearest one of the same direction, all counter-clockwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from recon.arrays import F64, I64, Bool
from training.mapper.merge.lines import COSINE, GAP_M, REACH_M, STEP_M, Track
from vectorize import polyline

FINE_M = STEP_M / 2  # between the vertices of a ring: islands have corners
LARGELY = 0.8  # of an outline that lies along another: they are one
ROUNDS = 2  # of averaging: the second starts from a mean, and no longer from the surest prediction
SEAM_M = 1.5  # left out where a ring is opened, so that a line never meets its own other end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineVote:
    """One predicted line."""

    line: F64  # (N, 3) world metres; a closed one does not repeat its first vertex
    score: float
    closed: bool
    patch: F64  # (4, 2) world corners of the patch in which it was predicted: its edge may cut a ring


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """A closed line of the site, with the predictions that it is the mean of."""

    vertices: F64  # (N, 3) FINE_M apart, counter-clockwise, the first one not repeated
    weight: F64  # (N,) sum of the scores of the predictions that lie there
    votes: I64  # (N,) number of these predictions
    voters: tuple[LineVote, ...]


def fuse_rings(votes: Sequence[LineVote]) -> list[Ring]:
    """Return the rings that closed predictions agree on, the surest first, whatever the order of the votes."""
    ordered = sorted(votes, key=lambda vote: (-vote.score, *_place(vote.line)))
    rings = [_mean([ordered[i] for i in group]) for group in _groups([_even(vote.line) for vote in ordered])]
    # Groups form around single predictions. Their means are surer, and two of one island may agree.
    rings.sort(key=lambda ring: -float(ring.weight.sum()))
    joined = _groups([ring.vertices for ring in rings])
    rings = [rings[i] if not more else _mean([v for k in (i, *more) for v in rings[k].voters]) for i, *more in joined]
    return sorted(rings, key=lambda ring: -float(ring.weight.sum()))


def along(ring: Ring, votes: Sequence[LineVote]) -> Bool:
    """Return (V,) which open predictions see a part of a ring, and little else."""
    return np.array([_directed(ring.vertices, vote) is not None for vote in votes], dtype=bool)


def with_parts(ring: Ring, parts: Sequence[LineVote]) -> Ring:
    """Return a ring whose mean holds open predictions of its parts, too."""
    return _mean([*ring.voters, *parts])


def is_closed(ring: Ring, parts: Sequence[LineVote]) -> bool:
    """Return whether most predictions of a place close it; an open one counts by the share of the ring that it sees.

    A keyframe whose patch cuts the ring could not predict it closed, so its open lines do not count.
    """
    outline = shapely.LinearRing(ring.vertices[:, :2])
    able = [part for part in parts if shapely.Polygon(part.patch).contains(outline)]
    return sum(vote.score for vote in ring.voters) >= float(_covered(ring.vertices, able).mean())


def opened(ring: Ring, parts: Sequence[LineVote]) -> Track:
    """Return a ring as a line that begins and ends where the fewest open predictions lie along it."""
    covered = _covered(ring.vertices, parts)
    count = len(covered)
    bare = covered <= covered.min() + 1e-9
    # Twice around: the longest stretch may run over the first vertex.
    start, stop = max(polyline.runs(np.tile(bare, 2)), key=lambda run: run[1] - run[0])
    gap = round(SEAM_M / FINE_M)
    first = (start + stop) // 2 + gap // 2
    order = np.arange(first, first + max(count - gap, 2)) % count
    even = order[:: round(STEP_M / FINE_M)]
    return Track(ring.vertices[even], ring.weight[even], ring.votes[even])


def _covered(outline: F64, parts: Sequence[LineVote]) -> F64:
    """Return (N,) the weight of the open predictions along each vertex of an outline."""
    covered = np.zeros(len(outline))
    for part in parts:
        line = _directed(outline, part)
        if line is not None:
            covered += part.score * _nearest(outline, line, from_closed=True, to_closed=False)[1]
    return covered


def _groups(outlines: Sequence[F64]) -> list[list[int]]:
    """Return groups of outlines: each joins the first of the group that it agrees with most, or begins its own.

    Nothing is linked through others, so that a row of islands stays a row.
    """
    groups: list[list[int]] = []
    for index, outline in enumerate(outlines):
        agreed = [_agreement(outlines[group[0]], outline) for group in groups]
        best = int(np.argmax(agreed)) if agreed else -1
        if agreed and agreed[best] > 0:
            groups[best].append(index)
        else:
            groups.append([index])
    return groups


def _agreement(one: F64, other: F64) -> float:
    """Return the share of two outlines that lies along the other one, less where they lie apart; 0: they are two."""
    if not _meet(one, other):
        return 0.0
    agreement = 1.0
    for base, line in ((one, other), (other, one)):
        there, near = _nearest(base, line, from_closed=True, to_closed=True)
        if near.mean() < LARGELY:
            return 0.0
        apart = np.hypot(*(there - base)[near, :2].T).mean()
        agreement *= float(near.mean() * (1.0 - 0.5 * apart / REACH_M))
    return agreement


def _mean(votes: Sequence[LineVote]) -> Ring:
    """Return the mean of predictions; the first one is closed, and begins it."""
    outline = _even(votes[0].line)
    for _ in range(ROUNDS):
        outline = _even(outline)
        weight, count, total = np.zeros(len(outline)), np.zeros(len(outline), np.int64), np.zeros_like(outline)
        for vote in votes:
            line = _even(vote.line) if vote.closed else _directed(outline, vote)
            if line is None:
                continue
            there, near = _nearest(outline, line, from_closed=True, to_closed=vote.closed)
            weight += vote.score * near
            count += near
            total += (vote.score * near)[:, None] * (there - outline)
        shift = total / np.maximum(weight, 1e-12)[:, None]
        # Sideways only: moved along the outline, noisy vertices would pass each other.
        normals = polyline.left_normals(_directions(outline, closed=True))
        shift[:, :2] = (shift[:, :2] * normals).sum(axis=1, keepdims=True) * normals
        outline = outline + shift
    return Ring(outline, weight, count, tuple(votes))


def _directed(outline: F64, vote: LineVote) -> F64 | None:
    """Return an open prediction in the direction of an outline that it lies along, or None."""
    if not _meet(outline, vote.line):
        return None
    line = polyline.resample(vote.line, FINE_M)
    ways = [line, line[::-1]]
    shares = [_nearest(way, outline, from_closed=False, to_closed=True)[1].mean() for way in ways]
    best = int(np.argmax(shares))
    return ways[best] if shares[best] >= LARGELY else None


def _nearest(base: F64, line: F64, *, from_closed: bool, to_closed: bool) -> tuple[F64, Bool]:
    """Return (N, 3) the place on `line` for each vertex of `base` (N, 3), and (N,) whether it lies beside it."""
    of_base, of_line = _directions(base, closed=from_closed), _directions(line, closed=to_closed)
    # The other side of a narrow island is near, and runs the other way: a turn counts as a way to go.
    tree = cKDTree(np.c_[line[:, :2], REACH_M * of_line])
    index = np.asarray(tree.query(np.c_[base[:, :2], REACH_M * of_base])[1], dtype=np.int64)
    there = line[index]
    offset = there[:, :2] - base[:, :2]
    near = (np.hypot(*offset.T) < REACH_M) & ((of_base * of_line[index]).sum(axis=1) > COSINE)
    if not to_closed:  # an open line ends
        near &= np.abs((offset * of_base).sum(axis=1)) <= STEP_M
    return there, bridged(near) if from_closed else polyline.close_gaps(near, round(GAP_M / FINE_M))


def _directions(line: F64, *, closed: bool) -> F64:
    """Return (N, 2) directions of a line with vertices FINE_M apart, little disturbed by what trembles."""
    return polyline.tangents(polyline.smooth(line, 1.0, closed=closed), closed=closed)


def bridged(mask: Bool) -> Bool:
    """Return a mask of a ring's vertices with short gaps filled; of a small ring, little is bridged."""
    count = len(mask)
    return polyline.close_gaps(np.tile(mask, 3), min(round(GAP_M / FINE_M), count // 8))[count : 2 * count]


def _meet(one: F64, other: F64) -> bool:
    """Return whether two lines are anywhere near each other."""
    low = np.maximum(one[:, :2].min(axis=0), other[:, :2].min(axis=0))
    high = np.minimum(one[:, :2].max(axis=0), other[:, :2].max(axis=0))
    return bool(np.all(low <= high + REACH_M))


def _even(ring: F64) -> F64:
    """Return a ring counter-clockwise, with vertices at equal distances."""
    way = ring if shapely.is_ccw(shapely.LinearRing(ring[:, :2])) else ring[::-1]
    return polyline.resample(np.concatenate([way, way[:1]]), FINE_M)[:-1]


def _place(ring: F64) -> tuple[float, float, float]:
    """Return the length and the middle of a ring, which do not tell where it starts."""
    middle = shapely.LinearRing(ring[:, :2]).centroid
    return polyline.length_of(ring, closed=True), middle.x, middle.y
