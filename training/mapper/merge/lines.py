"""Lines that were predicted keyframe by keyframe, fused into the lines of a site.

A track is a line of the site so far. A prediction meets a track where its points lie beside it, in its direction. There
both are averaged by weight; what reaches beyond an end of the track continues it; what leaves it becomes another line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, I64, Bool
from vectorize import polyline

STEP_M = 0.5  # between the vertices of a track
REACH_M = 1.2  # to the side: less than half of the narrowest lane
COSINE = 0.85  # of the largest angle between lines that are one: 32 degrees
OVERLAP_M = 3.0  # lines that share less are two, unless the shorter one is short itself
GAP_M = 2.0  # along a prediction, bridged where it leaves the track for a moment
SHIFT_M = 5.0  # over which a continuation bends from the average back to where it was predicted


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A line with what speaks for each of its vertices."""

    vertices: F64  # (N, 3) world metres, STEP_M apart
    weight: F64  # (N,) sum of the scores of the predictions that cover it
    votes: I64  # (N,) number of these predictions

    @classmethod
    def of(cls, vertices: F64, score: float) -> Track:
        """Return the track of one prediction."""
        even = polyline.resample(vertices, STEP_M)
        return cls(even, np.full(len(even), score), np.ones(len(even), np.int64))

    def part(self, where: slice) -> Track:
        """Return a stretch."""
        return Track(self.vertices[where], self.weight[where], self.votes[where])

    @property
    def length_m(self) -> float:
        """Return the length in the plane."""
        return polyline.length_of(self.vertices)


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """Where a line runs along a track."""

    line: Track  # turned into the track's direction
    span: tuple[int, int]  # of the line's vertices, the last one included
    nearest: I64  # (span,) vertices of the track, not falling
    worth: float  # metres that both share, less where they lie apart


def fuse_lines(lines: Sequence[Track]) -> list[Track]:
    """Return the tracks of lines given in the order of their keyframes."""
    tracks: list[Track] = []
    for line in lines:
        _insert(tracks, line)
    # Tracks that grew towards each other meet now: the surest first, so that it keeps its place.
    joined: list[Track] = []
    for track in sorted(tracks, key=lambda t: -float(t.weight.sum())):
        _insert(joined, track)
    return joined


def _insert(tracks: list[Track], line: Track) -> None:
    waiting = [line]
    while waiting:
        one = waiting.pop()
        if len(one.vertices) < 2:
            continue
        meetings = [(number, found) for number, track in enumerate(tracks) if (found := meeting(track, one))]
        if not meetings:
            tracks.append(one)
            continue
        number, best = max(meetings, key=lambda entry: entry[1].worth)
        tracks[number], rest = _fused(tracks[number], best)
        waiting += [part for part in rest if part.length_m >= OVERLAP_M]


def meeting(track: Track, line: Track) -> Meeting | None:
    """Return where a line runs along a track, or None."""
    margin = REACH_M + STEP_M
    low, high = track.vertices[:, :2].min(axis=0) - margin, track.vertices[:, :2].max(axis=0) + margin
    if not np.all((line.vertices[:, :2] >= low) & (line.vertices[:, :2] <= high), axis=1).any():
        return None
    nearest: I64 = np.asarray(cKDTree(track.vertices[:, :2]).query(line.vertices[:, :2])[1], dtype=np.int64)
    direction = polyline.tangents(track.vertices)[nearest]
    offset = line.vertices[:, :2] - track.vertices[nearest, :2]
    aside = np.abs((offset * polyline.left_normals(direction)).sum(axis=1))
    beyond = np.abs((offset * direction).sum(axis=1)) > STEP_M
    cosine = (polyline.tangents(line.vertices) * direction).sum(axis=1)
    near = (aside < REACH_M) & ~beyond & (np.abs(cosine) > COSINE)
    spans = polyline.runs(polyline.close_gaps(near, round(GAP_M / STEP_M)))
    if not spans:
        return None
    first, stop = max(spans, key=lambda span: span[1] - span[0])
    shared_m = (stop - first - 1) * STEP_M
    if shared_m < min(OVERLAP_M, 0.5 * min(track.length_m, line.length_m)) or stop - first < 2:
        return None
    worth = shared_m * (1.0 - float(aside[first:stop].mean()) / REACH_M)
    return _turned(line, (first, stop - 1), nearest, cosine, worth)


def _turned(line: Track, span: tuple[int, int], nearest: I64, cosine: F64, worth: float) -> Meeting:
    first, last = span
    if cosine[first : last + 1].sum() < 0:
        line, nearest = line.part(np.s_[::-1]), nearest[::-1]
        first, last = len(nearest) - 1 - last, len(nearest) - 1 - first
    return Meeting(line, (first, last), np.maximum.accumulate(nearest[first : last + 1]), worth)


def _fused(track: Track, found: Meeting) -> tuple[Track, list[Track]]:
    """Return the track with a line in it, and the parts of the line that leave the track before its ends."""
    line, (first, last) = found.line, found.span
    low, high = int(found.nearest[0]), int(found.nearest[-1])
    places = np.arange(low, high + 1)
    # Where each vertex of the track lies along the line, in the line's vertices.
    at, order = np.unique(found.nearest, return_index=True)
    along = np.interp(places, at, first + order)
    index = np.arange(len(line.vertices))
    there = np.stack([np.interp(along, index, column) for column in line.vertices.T], axis=1)
    new = np.interp(along, index, line.weight)
    old = track.weight[places]
    vertices, weight, votes = track.vertices.copy(), track.weight.copy(), track.votes.copy()
    vertices[places] = (old[:, None] * vertices[places] + new[:, None] * there) / (old + new)[:, None]
    weight[places] = old + new
    votes[places] += np.rint(np.interp(along, index, line.votes)).astype(np.int64)
    fused = Track(vertices, weight, votes)
    rest, room = [], round(REACH_M / STEP_M)
    if low <= room:
        shift = fused.vertices[low] - there[0]
        fused = _joined(_bent(line.part(np.s_[:first]), shift, from_end=True), fused.part(np.s_[low:]))
    else:
        rest.append(line.part(np.s_[: first + 1]))
    behind = len(track.vertices) - 1 - high
    if behind <= room:
        kept = fused.part(np.s_[: len(fused.vertices) - behind])
        shift = kept.vertices[-1] - there[-1]
        fused = _joined(kept, _bent(line.part(np.s_[last + 1 :]), shift, from_end=False))
    else:
        rest.append(line.part(np.s_[last:]))
    return fused, rest


def _bent(part: Track, shift: F64, *, from_end: bool) -> Track:
    """Return a continuation moved by `shift` where it joins the track, and less and less farther away."""
    away = STEP_M * np.arange(len(part.vertices), dtype=np.float64)
    share = np.exp(-(away[::-1] if from_end else away) / SHIFT_M)
    return Track(part.vertices + share[:, None] * shift, part.weight, part.votes)


def _joined(before: Track, after: Track) -> Track:
    vertices = np.concatenate([before.vertices, after.vertices])
    weight, votes = np.r_[before.weight, after.weight], np.r_[before.votes, after.votes]
    along = polyline.arc_length(vertices)
    rising: Bool = np.r_[True, np.diff(along) > 1e-6]
    even = np.linspace(0.0, along[-1], max(2, round(along[-1] / STEP_M) + 1))
    places = np.interp(even, along[rising], np.flatnonzero(rising))
    index = np.arange(len(vertices))
    spread = np.stack([np.interp(places, index, column) for column in vertices.T], axis=1)
    return Track(spread, np.interp(places, index, weight), np.rint(np.interp(places, index, votes)).astype(np.int64))
