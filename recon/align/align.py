"""`align`: finds corrections under which trips over one place agree, and leaves out the trips that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from scipy.spatial import cKDTree

from recon.align.alignment import AlignedTrip, Alignment, corrected, in_world_of
from recon.align.levels import landmarks_by_level
from recon.align.loop_closure import height_closure, only_up, passes_of
from recon.align.overlap import ROAD_HALF_M, drive_area, meetings, sites
from recon.align.pose_jump import pose_jump
from recon.align.register import Registration, TripLandmarks, register
from recon.arrays import F64
from recon.config import AlignConfig
from recon.drive import DriveLog
from recon.errors import PoseInvalid, TripsApart
from recon.heights.height_field import HeightField, height_field
from recon.progress import Tick, silent
from recon.sensors.lidar import world_points
from recon.views.views import Trip

CORRIDOR_M = 15.0  # of the height field: a little beyond the range of landmarks
LIDAR_RANGE_M = 40.0
BESIDE_M = 12.0  # heights of two trips are compared where their paths are this near: both fields reach there
NO_ORIGIN = "it has no origin but other trips have one, so its position is unknown"


def align(trips: Sequence[Trip], config: AlignConfig, tick: Tick = silent) -> Alignment:
    """Return the correction of every frame of every trip, in the world of the first drive that states an origin.

    One trip alone is aligned with itself (its heading against its path). A trip keeps its poses and is left
    out if they jump, if it shares no road with the others, or if its landmarks do not fit. The Alignment states why.
    Raises TripsApart when several trips were given and no two of them can be used together.
    """
    origin = next((trip.drive.origin for trip in trips if trip.drive.origin), None)
    drives = [in_world_of(trip.drive, origin) for trip in trips]
    reasons = {i: NO_ORIGIN for i, drive in enumerate(drives) if origin and not drive.origin}
    reasons |= {
        i: reason
        for i, drive in enumerate(drives)
        if i not in reasons and (reason := pose_jump(drive, config.most_jump_m))
    }
    rises: dict[int, F64] = {}
    for i in range(len(trips)):
        if i not in reasons and config.enabled:
            try:
                rise, _ = height_closure(drives[i])
            except PoseInvalid as fault:
                reasons[i] = fault.message
                continue
            if rise is not None:
                rises[i], drives[i] = only_up(rise), corrected(drives[i], only_up(rise))
    reasons |= _outside_largest_group([i for i in range(len(trips)) if i not in reasons], drives)
    kept = [i for i in range(len(trips)) if i not in reasons]
    result = {i: _untouched(drives[i], reason) for i, reason in reasons.items()}
    if len(kept) < min(len(trips), 2):
        raise _apart(drives, reasons)
    if not config.enabled:
        result |= {i: _untouched(drives[i], "") for i in kept}
        return Alignment(trips=tuple(result[i] for i in range(len(trips))), origin=origin)
    fields = {i: _field(drives[i]) for i in kept}
    marks = {i: landmarks_by_level(drives[i], trips[i].labels, _field, reach_m=config.reach_m, tick=tick) for i in kept}
    while True:
        up = height_offsets([drives[i].path_xy_m() for i in kept], [fields[i] for i in kept])
        own = [(drives[i], marks[i], float(rise)) for i, rise in zip(kept, up, strict=True)]
        found = register([TripLandmarks.of(d, m, raised_m=r, part=passes_of(d)) for d, m, r in own], tick)
        fits = [
            _described(drives[i], found, n, raised_m=float(up[n]), config=config, alone=len(trips) == 1)
            for n, i in enumerate(kept)
        ]
        result |= dict(zip(kept, fits, strict=True))
        if not any(fit.left_out for fit in fits):
            break
        # One at a time, the worst first: a trip that does not fit distorts the figures of the others.
        worst = max(
            (n for n, fit in enumerate(fits) if fit.left_out),
            key=lambda n: _misfit(fits[n], float(up[n] - np.median(up))),
        )
        i = kept.pop(worst)
        reasons[i] = fits[worst].left_out
        result[i] = replace(fits[worst], correction=np.zeros_like(fits[worst].correction))
        if len(kept) < 2:
            raise _apart(drives, reasons)
    for i in set(kept) & set(rises):
        result[i] = replace(result[i], correction=result[i].correction + rises[i])
    return Alignment(trips=tuple(result[i] for i in range(len(trips))), origin=origin)


def _outside_largest_group(candidates: Sequence[int], drives: Sequence[DriveLog]) -> dict[int, str]:
    """Return the trips outside the largest group of trips that share road, each with its reason."""
    if len(candidates) < 2:
        return {}
    poses = [np.array([f.world_from_ego for f in drives[i].frames]).reshape(-1, 4, 4) for i in candidates]
    areas = [drive_area(pose, beside_m=ROAD_HALF_M) for pose in poses]
    groups = sorted(sites(len(areas), meetings(areas)), key=len, reverse=True)
    others = shapely.union_all([areas[n] for n in groups[0]])
    return {
        candidates[n]: f"it shares no road with the others: {shapely.distance(areas[n], others):.0f} m lie between"
        for group in groups[1:]
        for n in group
    }


def _field(drive: DriveLog) -> HeightField:
    return height_field([drive], world_points(drive, max_range_m=LIDAR_RANGE_M), corridor_m=CORRIDOR_M, with_std=False)


def _described(
    drive: DriveLog, found: Registration, n: int, *, raised_m: float, config: AlignConfig, alone: bool
) -> AlignedTrip:
    """Return the n-th registered trip with its correction, and with the reason if it does not fit the others."""
    residual = found.residual_m[n]
    trip = AlignedTrip(
        name=drive.name,
        correction=np.insert(found.corrections[n], 2, raised_m, axis=1),
        left_out="",
        shared=found.shared[n],
        residual_m=float(np.median(residual)) if len(residual) else float("nan"),
    )
    return replace(trip, left_out=_fault(trip, config, alone=alone))


def _fault(trip: AlignedTrip, config: AlignConfig, *, alone: bool) -> str:
    shift = float(np.linalg.norm(trip.correction[:, :2], axis=1).max(initial=0.0))
    raised = float(np.abs(trip.correction[:, 2]).max(initial=0.0))
    if shift > config.most_shift_m:
        return f"it would have to move by {shift:.1f} m"
    if raised > config.most_raise_m:
        return f"its road lies {raised:.1f} m above or below that of the others"
    if not alone and (trip.shared < config.least_shared or np.isnan(trip.residual_m)):
        return f"only {trip.shared:.0%} of its paint and kerbs were seen by the others"
    if not alone and trip.residual_m > config.most_residual_m:
        return f"its paint and kerbs miss those of the others by {trip.residual_m:.2f} m"
    return ""


def _misfit(trip: AlignedTrip, raised_m: float) -> float:
    return float(np.linalg.norm(trip.correction[:, :2], axis=1).max(initial=0.0)) + abs(raised_m) + 1.0 - trip.shared


def _untouched(drive: DriveLog, reason: str) -> AlignedTrip:
    correction = np.zeros((len(drive.frames), 4))
    return AlignedTrip(name=drive.name, correction=correction, left_out=reason, shared=0.0, residual_m=float("nan"))


def _apart(drives: Sequence[DriveLog], reasons: dict[int, str]) -> TripsApart:
    listed = "; ".join(f"trip {i + 1}, {drives[i].name}: {reasons[i]}" for i in sorted(reasons))
    return TripsApart(
        f"no two trips can be used together: {listed}", hint="Label them one by one, or check their poses."
    )


def height_offsets(paths_xy_m: Sequence[F64], fields: Sequence[HeightField]) -> F64:
    """Return (T,) metres by which each trip is raised so that the heights of shared roads agree; their mean is 0."""
    trees = [cKDTree(path) if len(path) else None for path in paths_xy_m]
    rows, values = [np.full(len(fields), 1e-3)], [0.0]
    for i, path in enumerate(paths_xy_m):
        for j, tree in enumerate(trees):
            if i == j or tree is None or not len(path):
                continue
            near = path[tree.query(path)[0] < BESIDE_M]
            if len(near):
                row = np.zeros(len(fields))
                row[i], row[j] = 1.0, -1.0
                rows.append(row)
                values.append(float(np.median(fields[j].at(near)[0] - fields[i].at(near)[0])))
    offsets: F64 = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return offsets
