"""Levels of a site: where one road lies above another, each cell belongs to one of them or to none.

A surface has one height at a place. The paths tell where that is not enough: two passes within the corridor whose road
planes lie more than LEVEL_M apart are on different levels. Each level has its own height field, and only its own images
vote for its cells. A cell belongs to the level of the nearest path. Where another level is nearly as near, as at the
crossing itself, the cell is withheld: it stays unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from scipy.spatial import cKDTree

from recon.align.landmarks import Landmarks, landmarks
from recon.align.passes import LEVEL_M, Paths, driven_m
from recon.arrays import F64, I64, U64, Bool
from recon.drive import DriveLog
from recon.heights.height_field import HeightField
from recon.progress import Tick
from recon.segment.frame_labels import FrameLabels

CORRIDOR_M = 15.0  # in which landmarks of a level may be those of another
OVERLAP_M = 20.0  # driven beyond the end of a level's pass, that both levels use: the road goes on there
CLEAR_M = 4.0  # that the path of a cell's level must be nearer than that of another
BESIDE_M = 8.0  # from the path, where another level lies in the corridor too: what lies beyond is the other's
APART_M = 1.0  # between the heights of two levels at a place, from which on it is withheld


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nearest:
    """The path of a level as places (N,) see it."""

    xy_m: F64  # (N, 2) the nearest place of the path
    away_m: F64  # (N,) its distance
    height_m: F64  # (N,) of the level's road plane at the place that asks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Levels:
    """Which frames of several drives belong to which level."""

    paths: Paths
    level: I64  # (N,) of every place of the paths
    members: tuple[U64, ...]  # per drive (F,) bit l: level l uses the frame
    corridor_m: float

    @classmethod
    def of(cls, drives: Sequence[DriveLog], *, corridor_m: float) -> Self | None:
        """Return the levels of a site, or None where no road lies above another."""
        paths = Paths.of(drives)
        pairs, above = paths.meetings(corridor_m)
        pairs = pairs[np.abs(above) > LEVEL_M]
        if not len(pairs):
            return None
        number = paths.passes(pairs)
        level = _coloured(number, pairs)[number]
        count = int(level.max()) + 1
        barred = np.zeros((len(level), count), dtype=bool)  # a place may not serve the level of a place above it
        for one, other in (pairs.T, pairs.T[::-1]):
            barred[one, level[other]] = True
        members = []
        for index, drive in enumerate(drives):
            own = np.flatnonzero(paths.drive == index)
            serves = np.eye(count, dtype=bool)[level[own]]
            for cut in np.flatnonzero(np.diff(level[own])):
                driven = paths.driven_m[own]
                serves[(driven <= driven[cut]) & (driven > driven[cut + 1] - OVERLAP_M), level[own][cut + 1]] = True
                serves[(driven > driven[cut]) & (driven < driven[cut] + OVERLAP_M), level[own][cut]] = True
            serves = serves & ~barred[own] | np.eye(count, dtype=bool)[level[own]]
            at = np.searchsorted(paths.driven_m[own], driven_m(drive), side="right") - 1
            members.append((serves[at] * (np.uint64(1) << np.arange(count, dtype=np.uint64))).sum(axis=1))
        return cls(paths=paths, level=level, members=tuple(members), corridor_m=corridor_m)

    @property
    def count(self) -> int:
        """Return the number of levels."""
        return int(self.level.max()) + 1

    def owners(self, xy_m: F64) -> I64:
        """Return the level of places (N, 2), -1 where they are withheld."""
        at = [self.nearest(level, xy_m) for level in range(self.count)]
        away, height = (np.array([getattr(one, name) for one in at]) for name in ("away_m", "height_m"))
        owner = away.argmin(axis=0)
        nearest, own = away.min(axis=0), height[owner, np.arange(len(xy_m))]
        unclear = (away < self.corridor_m) & (np.abs(height - own) > APART_M)
        unclear &= (away < nearest + CLEAR_M) | (nearest > BESIDE_M)
        return np.where(unclear.any(axis=0), -1, owner)

    def nearest(self, level: int, xy_m: F64) -> Nearest:
        """Return the nearest place of the path of a level for places (N, 2), and the level's height there."""
        own = np.flatnonzero(self.level == level)
        away, near = cKDTree(self.paths.xyz_m[own, :2]).query(xy_m)
        place = own[near]
        xy = self.paths.xyz_m[place, :2]
        height = self.paths.xyz_m[place, 2] + (self.paths.slope[place] * (xy_m - xy)).sum(axis=1)
        return Nearest(xy_m=xy, away_m=np.asarray(away), height_m=height)

    def lies_above(self, level: int, xy_m: F64, reach_m: float) -> Bool:
        """Return at which places (N, 2) a level lies above another one whose path is within `reach_m`."""
        height = self.nearest(level, xy_m).height_m
        others = (self.nearest(other, xy_m) for other in range(self.count) if other != level)
        below = [(one.away_m < reach_m) & (height - one.height_m > APART_M) for one in others]
        result: Bool = np.any(below, axis=0)
        return result

    def sees(self, level: int, trip: int, frame: int) -> bool:
        """Return whether a frame belongs to a level."""
        return bool(int(self.members[trip][frame]) >> level & 1)

    def drives(self, level: int, drives: Sequence[DriveLog]) -> list[DriveLog]:
        """Return the drives with the frames of a level."""
        return [
            replace(drive, frames=tuple(f for i, f in enumerate(drive.frames) if self.sees(level, trip, i)))
            for trip, drive in enumerate(drives)
        ]


def landmarks_by_level(
    drive: DriveLog, labels: FrameLabels, field_of: Callable[[DriveLog], HeightField], *, reach_m: float, tick: Tick
) -> Landmarks:
    """Return the landmarks of a drive, each on the ground of its frame's level: `field_of` returns its heights."""
    levels = Levels.of([drive], corridor_m=CORRIDOR_M)
    if levels is None:
        return landmarks(drive, labels, field_of(drive), reach_m=reach_m, tick=tick)
    place = np.searchsorted(levels.paths.frame, np.arange(len(drive.frames)), side="right") - 1
    level = levels.level[place]
    parts = []
    for one in range(levels.count):
        images = tuple(image for image in labels.images if level[image.frame] == one)
        (own,) = levels.drives(one, [drive])
        parts.append(landmarks(drive, replace(labels, images=images), field_of(own), reach_m=reach_m, tick=tick))
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Landmarks)}
    return Landmarks(**joined)


def _coloured(number: I64, pairs: I64) -> I64:
    """Return the least level of each pass that no pass above or below it has, in their order."""
    count = int(number.max()) + 1
    apart = np.zeros((count, count), dtype=bool)
    for one, other in (pairs.T, pairs.T[::-1]):
        apart[number[one], number[other]] = True
    level = np.full(count, -1, dtype=np.int64)
    for each in range(count):
        taken = set(level[apart[each]].tolist())
        level[each] = next(one for one in range(count) if one not in taken)
    return level
