"""Joint registration of trips: every frame of every trip gets a small correction under which landmarks agree.

Unknown for frame f: a shift (x, y) of its position and a turn about the vertical, c_f = (dx, dy, dyaw). Minimised is

    sum over pairs (i, j) rho(n . (x_i - x_j)) + sum over neighbouring frames |c_f - c_g|^2 / walk^2
    + sum over frames |c_f|^2 / prior^2

by Gauss-Newton with reweighting (rho: Cauchy). Pairs join landmarks of different trips, of different passes of one
trip over a place, and of one pass where it sees the same ground again from farther on: only the last reveal a constant
error of the heading. The common position of all trips is fixed by the prior alone, so their corrections balance: an
error that all trips share is unobservable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.spatial import cKDTree

from recon.align.landmarks import END, GROUPS, Landmarks
from recon.align.passes import LEVEL_M, driven_m
from recon.arrays import F64, I8, I64, Bool
from recon.drive import DriveLog
from recon.least_squares import cauchy_weight, gauss_newton_step
from recon.progress import Tick, silent

PRIOR = np.array([1.0, 1.0, np.radians(1.0)])  # of a correction: poses are accurate to about a metre and a degree
WALK = np.array([0.02, 0.02, np.radians(0.03)])  # per square root of metre driven: poses drift, they do not jump
# Rounds of (search radius, scale of rho), both in metres: first gather, then fit.
ROUNDS = ((1.6, 0.4), (1.6, 0.4), (1.2, 0.3), (1.2, 0.3), (0.8, 0.2), (0.8, 0.15), (0.6, 0.1), (0.6, 0.1), (0.6, 0.1))
PARALLEL = 0.94  # least |cosine| between the normals of a pair: 20 degrees
ACROSS = 0.7  # cosine between its normal and the heading from which a line lies across the way
BLOCK_M = 8.0  # of one trip, points are paired over at least this much driving
POINT_M = 0.05  # standard deviation of a landmark


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TripLandmarks:
    """The poses and landmarks of one trip."""

    pose: F64  # (F, 4, 4) world_from_ego
    driven_m: F64  # (F,) path length up to each frame
    marks: Landmarks
    raised_m: float = 0.0  # by which its heights differ from those of the others: see `align.height_offsets`
    part: I64 | None = None  # (F,) the pass of the trip, from 0; None: it passes every place once

    @classmethod
    def of(cls, drive: DriveLog, marks: Landmarks, *, raised_m: float = 0.0, part: I64 | None = None) -> TripLandmarks:
        """Return the poses of a drive with its landmarks."""
        pose = np.array([frame.world_from_ego for frame in drive.frames]).reshape(-1, 4, 4)
        return cls(pose=pose, driven_m=driven_m(drive), marks=marks, raised_m=raised_m, part=part)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """Corrections of every trip, and how well its landmarks fit those of the others."""

    corrections: tuple[F64, ...]  # per trip (F, 3): metres east, metres north, radians counter-clockwise
    residual_m: tuple[F64, ...]  # per trip: |n . (x_i - x_j)| of its pairs with other trips after the last round
    shared: tuple[float, ...]  # per trip: share of its landmarks that have a partner in another trip
    passes_along: (
        int  # of those pairs after the last round, whose line lies across the way and so fixes the place along
    )
    passes_m: tuple[F64, F64]  # |n . (x_i - x_j)| of pairs of one trip's passes before the first and after the last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Points:
    """All landmarks with a direction, of all trips."""

    trip: I64  # (N,)
    part: I64  # (N,) the pass, counted over all trips
    frame: I64  # (N,) counted over all trips
    group: I8
    arm_m: F64  # (N, 2) from the vehicle to the point, world axes, before correction
    start_m: F64  # (N, 2) position of the vehicle before correction
    z_m: F64  # (N,) world height, raised to that of the other trips
    normal: F64  # (N, 2) world axes, before correction
    along: F64  # (N,) |cosine| between normal and heading
    block: I64  # (N,) of BLOCK_M driven metres


def register(trips: Sequence[TripLandmarks], tick: Tick = silent) -> Registration:
    """Return the corrections of all trips (at least one; one alone is aligned with itself)."""
    points = _points(trips)
    sizes = [len(trip.pose) for trip in trips]
    first = np.cumsum([0, *sizes])
    correction = np.zeros((first[-1], 3))
    smooth = _smoothness(trips)
    for done, (radius_m, scale_m) in enumerate(ROUNDS):
        tick(done, len(ROUNDS), "rounds")
        pairs = _pairs(points, correction, radius_m)
        correction = _step(points, pairs, correction, smooth, scale_m)
    pairs = _pairs(points, correction, ROUNDS[-1][0])
    across = points.trip[pairs[:, 0]] != points.trip[pairs[:, 1]]
    distance = np.abs(_residual(points, pairs, correction)[0])
    told = _pairs(points, np.zeros_like(correction), ROUNDS[0][0])
    told_m = np.abs(_residual(points, told, np.zeros_like(correction))[0])
    owner = points.trip[pairs[:, 0]]
    met = np.zeros(len(points.trip), dtype=bool)
    met[pairs[across, 0]] = True
    every = range(len(trips))
    return Registration(
        corrections=tuple(correction[first[i] : first[i + 1]] for i in every),
        residual_m=tuple(distance[across & (owner == i)] for i in every),
        shared=tuple(float(met[points.trip == i].mean()) if np.any(points.trip == i) else 0.0 for i in every),
        passes_along=int((points.along[pairs[_of_two_passes(points, pairs), 0]] > ACROSS).sum()),
        passes_m=(told_m[_of_two_passes(points, told)], distance[_of_two_passes(points, pairs)]),
    )


def _of_two_passes(points: _Points, pairs: I64) -> Bool:
    i, j = pairs.T
    result: Bool = (points.trip[i] == points.trip[j]) & (points.part[i] != points.part[j])
    return result


def _points(trips: Sequence[TripLandmarks]) -> _Points:
    columns: dict[str, list[npt.NDArray[np.generic]]] = {name: [] for name in _Points.__slots__}
    first, passes = 0, 0
    for number, trip in enumerate(trips):
        marks = trip.marks
        frame = marks.frame
        rotation = trip.pose[frame, :3, :3]
        normal = np.einsum("nij,nj->ni", rotation[:, :2, :2], marks.normal)
        columns["trip"].append(np.full(len(frame), number, dtype=np.int64))
        part = np.zeros(len(trip.pose), dtype=np.int64) if trip.part is None else trip.part
        columns["part"].append(part[frame] + passes)
        columns["frame"].append(frame.astype(np.int64) + first)
        columns["group"].append(marks.group)
        arm = np.einsum("nij,nj->ni", rotation, marks.ego_xyz_m)
        columns["arm_m"].append(arm[:, :2])
        columns["z_m"].append(trip.pose[frame, 2, 3] + arm[:, 2] + trip.raised_m)
        columns["start_m"].append(trip.pose[frame, :2, 3])
        normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        columns["normal"].append(normal)
        columns["along"].append(np.abs(marks.normal[:, 0]))
        columns["block"].append((trip.driven_m[frame] // BLOCK_M).astype(np.int64))
        first += len(trip.pose)
        passes += int(part.max(initial=0)) + 1
    return _Points(**{name: np.concatenate(parts) for name, parts in columns.items()})


def _moved(points: _Points, correction: F64) -> tuple[F64, F64]:
    """Return positions (N, 2) and arms (N, 2) of all points under a correction of the frames (F, 3)."""
    shift, turn = correction[points.frame, :2], correction[points.frame, 2]
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = points.arm_m.T
    arm = np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
    return points.start_m + shift + arm, arm


def _pairs(points: _Points, correction: F64, radius_m: float) -> I64:
    """Return (M, 2) pairs: each point and the nearest parallel one of every other trip, and of its own farther on."""
    xy, _ = _moved(points, correction)
    found = [np.zeros((0, 2), np.int64)]
    for group in range(GROUPS):
        own = np.flatnonzero(points.group == group)
        for part in np.unique(points.part[own]):
            there = own[points.part[own] == part]
            found.append(_nearest(points, xy, own[points.part[own] != part], there, radius_m))
            # Two blocks on: near enough to see the same ground, far enough to see it at another distance.
            for phase in range(4):
                here = there[points.block[there] % 4 == phase]
                ahead = there[points.block[there] % 4 == (phase + 2) % 4]
                found.append(_nearest(points, xy, here, ahead, radius_m))
    return np.concatenate(found)


def _nearest(points: _Points, xy: F64, here: I64, there: I64, radius_m: float) -> I64:
    if not len(here) or not len(there):
        return np.zeros((0, 2), np.int64)
    count = min(6, len(there))
    distance, place = cKDTree(xy[there]).query(xy[here], k=count, distance_upper_bound=radius_m)
    distance, place = (np.asarray(found).reshape(len(here), count) for found in (distance, place))
    other = there[np.minimum(place, len(there) - 1)]
    cosine = np.einsum("ni,nki->nk", points.normal[here], points.normal[other])
    # The normal of a line has no sign. That of an end has: a dash's beginning is not the end of the dash before.
    parallel = np.where(points.group[here][:, None] == END, cosine, np.abs(cosine)) > PARALLEL
    same_level = np.abs(points.z_m[here][:, None] - points.z_m[other]) < LEVEL_M
    distance = np.where(parallel & same_level, distance, np.inf)
    best = distance.argmin(axis=1)
    rows = np.flatnonzero(np.isfinite(distance[np.arange(len(here)), best]))
    return np.stack([here[rows], other[rows, best[rows]]], axis=1)


def _residual(points: _Points, pairs: I64, correction: F64) -> tuple[F64, F64, F64]:
    """Return n . (x_i - x_j) (M,), the normals (M, 2) and the arms' turn n . d arm / d yaw of both ends (M, 2)."""
    xy, arm = _moved(points, correction)
    i, j = pairs.T
    normal = points.normal[i]
    across = np.stack([-arm[:, 1], arm[:, 0]], axis=1)
    turns = np.stack([(normal * across[i]).sum(axis=1), (normal * across[j]).sum(axis=1)], axis=1)
    return ((xy[i] - xy[j]) * normal).sum(axis=1), normal, turns


def _step(points: _Points, pairs: I64, correction: F64, smooth: csr_matrix, scale_m: float) -> F64:
    """Return the correction after one reweighted Gauss-Newton step."""
    residual, normal, turns = _residual(points, pairs, correction)
    weight = cauchy_weight(residual, scale_m) / POINT_M**2
    # A landmark is one measurement, however many images of a frame show it: weight is shared per pair of frames.
    frames = np.sort(points.frame[pairs], axis=1)
    name = frames[:, 0] * len(correction) + frames[:, 1]
    _, group, count = np.unique(name, return_inverse=True, return_counts=True)
    weight = weight / np.sqrt(count[group.reshape(-1)])
    rows = np.repeat(np.arange(len(pairs)), 3)
    columns = [(points.frame[end][:, None] * 3 + np.arange(3)).reshape(-1) for end in pairs.T]
    values = [np.c_[normal, turns[:, 0]].reshape(-1), -np.c_[normal, turns[:, 1]].reshape(-1)]
    shape = (len(pairs), correction.size)
    places = (np.tile(rows, 2), np.concatenate(columns))
    jacobian = csr_matrix(coo_matrix((np.concatenate(values), places), shape=shape))
    current = correction.reshape(-1)
    gradient = jacobian.T @ diags(weight) @ residual + smooth @ current
    return (current + gauss_newton_step(smooth, jacobian, weight, gradient)).reshape(-1, 3)


def _smoothness(trips: Sequence[TripLandmarks]) -> csr_matrix:
    """Return the quadratic form (3F, 3F) of prior and walk."""
    first, rows, columns, values = 0, [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    count = sum(len(trip.pose) for trip in trips)
    for trip in trips:
        frames = np.arange(len(trip.pose) - 1) + first
        step = np.maximum(np.diff(trip.driven_m), 0.1)
        for axis in range(3):
            inverse = 1.0 / (WALK[axis] ** 2 * step)
            a, b = frames * 3 + axis, (frames + 1) * 3 + axis
            rows += [a, b, a, b]
            columns += [a, b, b, a]
            values += [inverse, inverse, -inverse, -inverse]
        first += len(trip.pose)
    shape = (3 * count, 3 * count)
    walk = coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    # Neighbouring frames share their error: the prior counts per correlation length, not per frame.
    prior = diags(np.tile(1.0 / PRIOR**2, count) / max(1.0, count / max(len(trips), 1)))
    return csr_matrix(walk + prior)
