"""Where drives come back to a place: the passes, which must agree on its height or lie on different levels.

Heights of two passes are compared where their paths come near, on the road planes under the vehicles. So a steep or
banked road is no difference. Within LEVEL_M the difference is drift of the poses; beyond, one road lies above another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64, I64
from recon.drive import DriveLog

LEVEL_M = 2.5  # a bridge leaves room for vehicles below; poses of one drive drift less
AWAY_M = 30.0  # driven between two passes of one place: less is the same pass
SPACING_M = 1.0  # between the frames that are compared; a waiting vehicle has one
LEFT_OFF_S = 10.0  # without a frame: a log goes on after that, perhaps with other errors
DRIFT_MPS = 6.0  # metres of driving that one such second counts for


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Frames of several drives, one about every SPACING_M of driving."""

    drive: I64  # (N,) which drive
    frame: I64  # (N,) index in that drive
    driven_m: F64  # (N,) along the drive; time without frames counts as driving
    xyz_m: F64  # (N, 3) road under the vehicle
    slope: F64  # (N, 2) dz/dx, dz/dy of the road plane there

    @classmethod
    def of(cls, drives: Sequence[DriveLog]) -> Paths:
        """Return the frames of drives."""
        columns: list[tuple[I64, I64, F64, F64, F64]] = []
        for number, drive in enumerate(drives):
            pose = np.array([frame.world_from_ego for frame in drive.frames]).reshape(-1, 4, 4)
            driven = driven_m(drive)
            kept = np.flatnonzero(np.diff(driven // SPACING_M, prepend=-1.0) > 0)
            up = pose[kept, :3, 2]
            ground = pose[kept, :3, 3] + drive.ground_z_ego_m * up
            slope = -up[:, :2] / np.maximum(up[:, 2:], 0.5)
            columns.append((np.full(len(kept), number), kept, driven[kept], ground, slope))
        drive_of, frame, driven_at, xyz, slope = (np.concatenate(parts) for parts in zip(*columns, strict=True))
        return cls(drive=drive_of, frame=frame, driven_m=driven_at, xyz_m=xyz, slope=slope)

    def meetings(self, near_m: float) -> tuple[I64, F64]:
        """Return pairs (M, 2) of places on different passes within `near_m`, and how much higher the first is (M,)."""
        pairs = cKDTree(self.xyz_m[:, :2]).query_pairs(near_m, output_type="ndarray").astype(np.int64)
        a, b = pairs.T
        pairs = pairs[(self.drive[a] != self.drive[b]) | (np.abs(self.driven_m[a] - self.driven_m[b]) > AWAY_M)]
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        a, b = pairs.T
        half = 0.5 * (self.xyz_m[b, :2] - self.xyz_m[a, :2])
        above = self.xyz_m[a, 2] - self.xyz_m[b, 2] + ((self.slope[a] + self.slope[b]) * half).sum(axis=1)
        return pairs, above

    def passes(self, pairs: I64) -> I64:
        """Return the pass (N,) of every place, from 0, so that no pair (M, 2) of one drive is in one pass.

        A drive is cut as seldom as possible, and half-way between the places that a cut must part.
        """
        own = pairs[self.drive[pairs[:, 0]] == self.drive[pairs[:, 1]]]
        own = own[np.argsort(own[:, 1], kind="stable")]  # the first of a pair is the earlier one
        starts = np.flatnonzero(np.diff(self.drive, prepend=-1)).tolist()
        low, high = -1, -1
        for first, second in own.tolist():
            if first < high:
                low = max(low, first)  # the same cut parts this pair too
                continue
            if high >= 0:
                starts.append(self._middle(low, high))
            low, high = first, second
        if high >= 0:
            starts.append(self._middle(low, high))
        fresh = np.zeros(len(self.drive), dtype=np.int64)
        fresh[starts] = 1
        return np.cumsum(fresh) - 1

    def _middle(self, low: int, high: int) -> int:
        return int(np.searchsorted(self.driven_m[low : high + 1], self.driven_m[[low, high]].mean())) + low


def driven_m(drive: DriveLog) -> F64:
    """Return the path length (F,) up to each frame; a time without frames counts as driving, for poses drift in it."""
    step = np.linalg.norm(np.diff(drive.path_xy_m(), axis=0), axis=1)
    seconds = np.diff([frame.time_ns for frame in drive.frames]) * 1e-9
    driven: F64 = np.r_[0.0, np.cumsum(step + DRIFT_MPS * np.maximum(seconds - LEFT_OFF_S, 0.0))][: len(drive.frames)]
    return driven
