"""Loop closure: corrections of one drive's poses under which its passes over a place agree, in height and in plan.

Height of place p of the path: c_p. Minimised is, by iteratively reweighted least squares,

    sum over meetings (a, b) rho((h_a + c_a) - (h_b + c_b)) + sum over neighbours (c_p - c_q)^2 / (walk^2 driven)

with rho the Cauchy loss, since beside a road another one may begin to climb. The drift in plan is found as `align`
finds that of trips: each pass is a trip of its own to `register`, and the drive ties them together. Poses that agree
already are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from recon.align.alignment import corrected
from recon.align.levels import landmarks_by_level
from recon.align.passes import LEVEL_M, Paths, driven_m
from recon.align.register import TripLandmarks, register
from recon.arrays import F64, I64
from recon.drive import DriveLog
from recon.errors import PoseInvalid
from recon.heights.height_field import HeightField, height_field
from recon.least_squares import Term, cauchy_weight, solve, solve_robust
from recon.progress import Tick, silent
from recon.views.views import Trip

NEAR_M = 5.0  # between the paths of two passes: the next lane, not the other carriageway
AGREES_M = 0.03  # median difference of heights that is left as it is
MEASURED_M = 0.03  # standard deviation of a difference of heights
WALK_M = 0.02  # drift of the height per square root of metre driven
PRIOR_M = 10.0  # of a correction: only keeps the system regular
SCALES_M = (1.0, 0.3, 0.1, 0.1)  # of rho, from coarse to fine
ROUNDS = 4  # at each scale
MOST_LEFT_M = 0.15  # median difference of heights after the correction; with more the poses are refused
PLAN_AGREES_M = 0.12  # median distance of landmarks of two passes that is left as it is
PLAN_REACH_M = 12.0  # of landmarks
PLAN_LEAST = 100  # landmarks seen on two passes; as many must lie across the way to correct the place along it
PLAN_MOST_LEFT_M = 0.2
CORRIDOR_M = 15.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Closure:
    """What makes the passes of a drive agree."""

    correction: F64  # (F, 4) metres east, north, up, radians about the vehicle
    raised_m: float  # how far two passes lay apart in height, median
    shifted_m: float  # and in plan, across their lines

    def record(self) -> dict[str, Any]:
        """Return the poses' entry in a surface's report."""
        return {
            "passes_apart_m": {"height": round(self.raised_m, 3), "plan": round(self.shifted_m, 3)},
            "correction": np.round(self.correction, 6).tolist(),
        }


def loop_closure(trip: Trip, tick: Tick = silent) -> Closure | None:
    """Return the correction of a drive whose passes disagree, or None; raises PoseInvalid if none makes them agree."""
    rise, raised_m = height_closure(trip.drive)
    drive = trip.drive if rise is None else corrected(trip.drive, only_up(rise))
    plan, shifted_m = _plan_closure(Trip(drive=drive, labels=trip.labels), tick)
    if rise is None and plan is None:
        return None
    correction = np.zeros((len(drive.frames), 4))
    correction[:, 2] = 0.0 if rise is None else rise
    if plan is not None:
        correction[:, [0, 1, 3]] = plan
    return Closure(correction=correction, raised_m=raised_m, shifted_m=shifted_m)


def passes_of(drive: DriveLog) -> I64 | None:
    """Return the pass (F,) of every frame, from 0, or None where the drive passes every place once."""
    paths = Paths.of([drive])
    pairs, above = paths.meetings(NEAR_M)
    pairs = pairs[np.abs(above) < LEVEL_M]
    if not len(pairs):
        return None
    at = np.searchsorted(paths.frame, np.arange(len(drive.frames)), side="right") - 1
    return paths.passes(pairs)[at]


def height_closure(drive: DriveLog) -> tuple[F64 | None, float]:
    """Return what to raise each frame by (F,), or None, and the median difference before; raises PoseInvalid."""
    paths = Paths.of([drive])
    pairs, above = paths.meetings(NEAR_M)
    pairs, above = pairs[np.abs(above) < LEVEL_M], above[np.abs(above) < LEVEL_M]
    apart = float(np.median(np.abs(above))) if len(above) else 0.0
    if apart < AGREES_M:
        return None, apart
    rise = _rise(paths.driven_m, pairs, above)
    left = np.abs(above + rise[pairs[:, 0]] - rise[pairs[:, 1]])
    if float(np.median(left)) > MOST_LEFT_M:
        a, b = paths.frame[pairs[int(left.argmax())]].tolist()
        raise PoseInvalid(
            f"it passes one place at heights {left.max():.1f} m apart, in frames {a} and {b}",
            where=f"drive {drive.name}",
            hint="Repair the heights of its poses, or cut the drive between its passes.",
        )
    return np.interp(driven_m(drive), paths.driven_m, rise), apart


def _rise(driven: F64, pairs: I64, above: F64) -> F64:
    """Return the correction (N,) of the places of one path."""
    count, rows = len(driven), np.arange(len(pairs))
    step = np.maximum(np.diff(driven), 1e-3)
    inner = np.arange(count - 1)
    ends = (np.r_[inner, inner], np.r_[inner, inner + 1])
    walk = csr_matrix(coo_matrix((np.repeat([-1.0, 1.0], count - 1), ends), shape=(count - 1, count)))
    prior = csr_matrix(walk.T @ diags(1.0 / (WALK_M**2 * step)) @ walk + diags(np.full(count, PRIOR_M**-2 / count)))
    places = (np.r_[rows, rows], np.r_[pairs[:, 0], pairs[:, 1]])
    matrix = csr_matrix(coo_matrix((np.repeat([1.0, -1.0], len(rows)), places), shape=(len(rows), count)))
    # A place meets every pass of a slow convoy of frames: together its meetings are one measurement.
    shared = np.bincount(pairs.reshape(-1), minlength=count)
    weight = 1.0 / (MEASURED_M**2 * np.sqrt(shared[pairs[:, 0]] * shared[pairs[:, 1]]))
    rise = solve(prior, [Term(matrix=matrix, target=-above, weight=weight)])
    for scale in SCALES_M:

        def weight_of(residual: F64, scale: float = scale) -> F64:
            return cauchy_weight(residual, scale, weight=weight)

        rise = solve_robust(prior, [], matrix, -above, weight_of, start=rise, rounds=ROUNDS)
    return rise - float(rise.mean())


def _plan_closure(trip: Trip, tick: Tick) -> tuple[F64 | None, float]:
    """Return the corrections (F, 3) east, north, turn, or None, and how far landmarks of two passes lie apart."""
    drive = trip.drive
    part = passes_of(drive)
    if part is None:
        return None, 0.0
    marks = landmarks_by_level(drive, trip.labels, _field, reach_m=PLAN_REACH_M, tick=tick)
    one = TripLandmarks.of(drive, marks, part=part)
    found = register([one], tick)
    before, after = found.passes_m
    if len(before) < PLAN_LEAST or np.median(before) < PLAN_AGREES_M:
        return None, float(np.median(before)) if len(before) else 0.0
    if np.median(after) > PLAN_MOST_LEFT_M:
        raise PoseInvalid(
            f"paint and kerbs of its passes over one place lie {np.median(before):.1f} m apart",
            where=f"drive {drive.name}",
            hint="Repair its poses, or cut the drive between its passes.",
        )
    plan = found.corrections[0].copy()
    if found.passes_along < PLAN_LEAST:
        # Lines along the way leave the place along it open, and what remains of their noise would fill it.
        pose = np.array([frame.world_from_ego for frame in drive.frames])
        ahead = pose[:, :2, 0] / np.maximum(np.linalg.norm(pose[:, :2, 0], axis=1, keepdims=True), 1e-9)
        plan[:, :2] -= (plan[:, :2] * ahead).sum(axis=1, keepdims=True) * ahead
    return plan, float(np.median(before))


def _field(drive: DriveLog) -> HeightField:
    return height_field([drive], np.zeros((0, 3)), corridor_m=CORRIDOR_M, with_std=False)


def only_up(rise: F64) -> F64:
    """Return the correction (F, 4) that raises each frame by `rise` (F,)."""
    correction = np.zeros((len(rise), 4))
    correction[:, 2] = rise
    return correction
