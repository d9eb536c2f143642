"""`align`: from trips over one place to corrections under which they agree, and a gate for those that do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import shapely

from recon.align.alignment import AlignedTrip, Alignment, aligned
from recon.align.landmarks import landmarks
from recon.align.register import Registration, register
from recon.align.register import Trip as Registered
from recon.config import AlignConfig
from recon.drive import DriveLog
from recon.errors import TripsApart
from recon.heights import HeightField, height_field
from recon.lidar import world_points
from recon.overlap import drive_area, meetings, sites
from recon.progress import Tick, silent
from recon.views import Trip

F64 = npt.NDArray[np.float64]

CORRIDOR_M = 15.0  # of the height field: a little more than landmarks reach
LIDAR_RANGE_M = 40.0
BESIDE_M = 4.0  # heights of two trips are compared where their paths are this near


def align(trips: Sequence[Trip], config: AlignConfig, tick: Tick = silent) -> Alignment:
    """Return the correction of every frame of every trip.

    One trip alone is aligned with itself (its heading against its path). A trip whose poses jump, that meets no other,
    or whose landmarks do not fit the others', keeps its poses and is left out; the Alignment says why.
    Raises TripsApart when several trips were given and no two of them can be used together.
    """
    drives = [trip.drive for trip in trips]
    reasons = {i: reason for i, drive in enumerate(drives) if (reason := pose_jump(drive, config.most_jump_m))}
    reasons |= _without_company([i for i in range(len(trips)) if i not in reasons], drives)
    kept = [i for i in range(len(trips)) if i not in reasons]
    result = {i: _untouched(drives[i], reason) for i, reason in reasons.items()}
    if len(kept) < min(len(trips), 2):
        raise _apart(drives, reasons)
    if not config.enabled:
        return Alignment(trips=tuple(result.get(i, _untouched(drives[i], "")) for i in range(len(trips))))
    fields = {i: _field(drives[i]) for i in kept}
    marks = {i: landmarks(drives[i], trips[i].labels, fields[i], reach_m=config.reach_m, tick=tick) for i in kept}
    while True:
        found = register([Registered.of(drives[i], marks[i]) for i in kept], tick)
        faults = {i: fault for n, i in enumerate(kept) if (fault := _fault(found, n, config, alone=len(kept) == 1))}
        if not faults:
            break
        # The worst one first: a trip that does not fit spoils the figures of its neighbours.
        worst = max(faults, key=lambda i: _badness(found, kept.index(i)))
        reasons[worst] = faults[worst]
        result[worst] = _described(drives[worst], found, kept.index(worst), faults[worst])
        kept.remove(worst)
        if len(kept) < 2:
            raise _apart(drives, reasons)
    up = _height_offsets([drives[i] for i in kept], [fields[i] for i in kept])
    for n, i in enumerate(kept):
        correction = np.insert(found.corrections[n], 2, up[n], axis=1)
        result[i] = replace(_described(drives[i], found, n, ""), correction=correction)
    return Alignment(trips=tuple(result[i] for i in range(len(trips))))


def pose_jump(drive: DriveLog, most_m: float) -> str:
    """Return where a drive's poses jump, or an empty string: a step must be what the steps around it foretell."""
    xy = drive.path_xy_m()
    seconds = np.diff([frame.time_ns for frame in drive.frames]) * 1e-9
    if len(xy) < 4:
        return ""
    step = np.diff(xy, axis=0)
    velocity = step / np.maximum(seconds, 1e-6)[:, None]
    # What the neighbours' mean velocity does not explain; 3 m/s2 of braking or turning is driving.
    before, after = np.vstack([velocity[1:2], velocity[:-1]]), np.vstack([velocity[1:], velocity[-2:-1]])
    excess = np.linalg.norm(step - (before + after) / 2 * seconds[:, None], axis=1) - 1.5 * seconds**2
    surprise = [np.linalg.norm(step - near * seconds[:, None], axis=1) for near in (before, after)]
    both = np.minimum(*surprise)
    jump = np.flatnonzero((excess > most_m) & (both > most_m))
    if not len(jump):
        return ""
    at = int(jump[np.argmax(excess[jump])])
    return f"its poses jump by {excess[at]:.1f} m between frames {at} and {at + 1}"


def _without_company(candidates: Sequence[int], drives: Sequence[DriveLog]) -> dict[int, str]:
    """Return the trips that do not hang together with the largest group, each with its reason."""
    if len(candidates) < 2:
        return {}
    poses = [np.array([f.world_from_ego for f in drives[i].frames]).reshape(-1, 4, 4) for i in candidates]
    areas = [drive_area(pose) for pose in poses]
    groups = sorted(sites(len(areas), meetings(areas)), key=len, reverse=True)
    others = shapely.union_all([areas[n] for n in groups[0]])
    return {
        candidates[n]: f"it shares no road with the others: {shapely.distance(areas[n], others):.0f} m lie between"
        for group in groups[1:]
        for n in group
    }


def _field(drive: DriveLog) -> HeightField:
    return height_field([drive], world_points(drive, max_range_m=LIDAR_RANGE_M), corridor_m=CORRIDOR_M)


def _fault(found: Registration, n: int, config: AlignConfig, *, alone: bool) -> str:
    """Return why a trip does not fit the others, or an empty string."""
    shift = float(np.linalg.norm(found.corrections[n][:, :2], axis=1).max(initial=0.0))
    if shift > config.most_shift_m:
        return f"it would have to move by {shift:.1f} m"
    if alone:
        return ""
    if found.shared[n] < config.least_shared:
        return f"only {found.shared[n]:.0%} of its paint and kerbs were seen by the others"
    median = float(np.median(found.residual_m[n]))
    if median > config.most_residual_m:
        return f"its paint and kerbs miss those of the others by {median:.2f} m"
    return ""


def _badness(found: Registration, n: int) -> float:
    shift = float(np.linalg.norm(found.corrections[n][:, :2], axis=1).max(initial=0.0))
    return shift + (1.0 - found.shared[n])


def _described(drive: DriveLog, found: Registration, n: int, reason: str) -> AlignedTrip:
    residual = found.residual_m[n]
    return replace(
        _untouched(drive, reason),
        shared=found.shared[n],
        residual_m=float(np.median(residual)) if len(residual) else float("nan"),
    )


def _untouched(drive: DriveLog, reason: str) -> AlignedTrip:
    correction = np.zeros((len(drive.frames), 4))
    return AlignedTrip(name=drive.name, correction=correction, left_out=reason, shared=0.0, residual_m=float("nan"))


def _apart(drives: Sequence[DriveLog], reasons: dict[int, str]) -> TripsApart:
    said = "; ".join(f"{drives[i].name}: {reasons[i]}" for i in sorted(reasons))
    return TripsApart(f"no two trips can be used together: {said}", hint="Label them one by one, or check their poses.")


def _height_offsets(drives: Sequence[DriveLog], fields: Sequence[HeightField]) -> F64:
    """Return (T,) metres by which each trip is raised so that the trips' roads meet; their mean stays."""
    rows, values = [np.ones(len(drives)) * 1e-3], [0.0]
    for i, drive in enumerate(drives):
        for j, other in enumerate(drives):
            if i == j:
                continue
            path = drive.path_xy_m()
            gap = np.linalg.norm(path[:, None] - other.path_xy_m()[None], axis=2).min(axis=1)
            near = path[gap < BESIDE_M]
            if len(near):
                row = np.zeros(len(drives))
                row[i], row[j] = 1.0, -1.0
                rows.append(row)
                values.append(float(np.median(fields[j].at(near)[0] - fields[i].at(near)[0])))
    offsets: F64 = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return offsets


def aligned_trips(trips: Sequence[Trip], alignment: Alignment) -> list[Trip]:
    """Return the trips that take part, with corrected poses."""
    return [replace(trips[i], drive=aligned(trips[i].drive, alignment.trips[i])) for i in alignment.used]
