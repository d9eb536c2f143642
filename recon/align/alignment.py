"""The Alignment artifact: the correction of each trip's poses, how well it fits, or why it is left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from recon.arrays import F64
from recon.artifact import Parts
from recon.drive import DriveLog, Frame, Image
from recon.geo_origin import GeoOrigin
from recon.geometry import rotation_from_euler


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlignedTrip:
    """One trip."""

    name: str
    correction: F64  # (F, 4) per frame, in the site's world: metres east, north, up; radians about the vehicle
    left_out: str  # the reason, if the trip is left out; empty if it is used
    shared: float  # share of its landmarks that another trip has seen too, 0..1
    residual_m: float  # median distance of shared landmarks after alignment; NaN where nothing is shared

    @property
    def shift_m(self) -> float:
        """Return the root mean square of the horizontal shift."""
        return float(np.sqrt(np.square(self.correction[:, :2]).sum(axis=1).mean())) if len(self.correction) else 0.0

    def record(self) -> dict[str, Any]:
        """Return the trip's entry in a report."""
        return {
            "name": self.name,
            "used": not self.left_out,
            "left_out": self.left_out,
            "shared": round(self.shared, 3),
            "residual_m": None if np.isnan(self.residual_m) else round(self.residual_m, 4),
            "shift_m": round(self.shift_m, 3),
            "raised_m": round(float(self.correction[:, 2].mean()), 3) if len(self.correction) else 0.0,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alignment:
    """All trips of a site, in the order they were given."""

    kind: ClassVar[str] = "Alignment"
    schema: ClassVar[int] = 1

    trips: tuple[AlignedTrip, ...]
    origin: GeoOrigin | None = None  # of the site's world: that of the first drive that states one

    @property
    def used(self) -> tuple[int, ...]:
        """Return the indices of the trips that are used."""
        return tuple(i for i, trip in enumerate(self.trips) if not trip.left_out)

    def to_parts(self) -> Parts:
        """Return metadata and arrays."""
        fields = ("name", "left_out", "shared")
        meta = [
            {name: getattr(trip, name) for name in fields}
            | {"residual_m": None if np.isnan(trip.residual_m) else trip.residual_m}
            for trip in self.trips
        ]
        correction = np.concatenate([np.zeros((0, 4)), *(trip.correction for trip in self.trips)])
        frames = np.array([len(trip.correction) for trip in self.trips], dtype=np.int64)
        origin = asdict(self.origin) if self.origin else None
        return Parts(meta={"trips": meta, "origin": origin}, arrays={"correction": correction, "frames": frames})

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Build the alignment from metadata and arrays."""
        ends = np.cumsum(parts.arrays["frames"])
        spans = zip(ends - parts.arrays["frames"], ends, strict=True)
        return cls(
            origin=GeoOrigin(**parts.meta["origin"]) if parts.meta["origin"] else None,
            trips=tuple(
                AlignedTrip(
                    name=entry["name"],
                    left_out=entry["left_out"],
                    shared=entry["shared"],
                    residual_m=float("nan") if entry["residual_m"] is None else entry["residual_m"],
                    correction=parts.arrays["correction"][start:stop],
                )
                for entry, (start, stop) in zip(parts.meta["trips"], spans, strict=True)
            ),
        )


def placed(drive: DriveLog, alignment: Alignment, number: int) -> DriveLog:
    """Return a drive in the site's world with corrected poses; without frames if it is left out."""
    trip = alignment.trips[number]
    if trip.left_out:
        return replace(drive, frames=(), origin=alignment.origin)
    moved = in_world_of(drive, alignment.origin)
    return corrected(moved, trip.correction)


def corrected(drive: DriveLog, correction: F64) -> DriveLog:
    """Return a drive whose frames are corrected by (F, 4) metres east, north, up and radians about the vehicle."""
    return replace(drive, frames=tuple(map(_corrected, drive.frames, correction)))


def in_world_of(drive: DriveLog, origin: GeoOrigin | None) -> DriveLog:
    """Return a drive with poses in the local metres of another origin; unchanged where either origin is unknown."""
    own = drive.origin
    if own is None or origin is None or own == origin or not drive.frames:
        return drive
    up = own.altitude_m - origin.altitude_m
    xy = drive.path_xy_m()
    there, north = (origin.to_metres(own.to_degrees(points)) for points in (xy, xy + [0.0, 1.0]))
    # Two tangent planes differ by a rotation, the convergence of their meridians.
    turn = np.arctan2(there[:, 0] - north[:, 0], north[:, 1] - there[:, 1])
    moves = np.c_[there - xy, np.full(len(xy), up), turn]
    return replace(corrected(drive, moves), origin=origin)


def _corrected(frame: Frame, correction: F64) -> Frame:
    """Return a frame whose poses are turned about the vehicle and shifted; images keep their offset to the frame."""
    if not correction.any():
        return frame
    turn = rotation_from_euler(yaw_rad=float(correction[3]))
    centre = frame.world_from_ego[:3, 3]

    def moved(pose: F64) -> F64:
        result = pose.copy()
        result[:3, :3] = turn @ pose[:3, :3]
        result[:3, 3] = centre + turn @ (pose[:3, 3] - centre) + correction[:3]
        return result

    def with_pose(image: Image) -> Image:
        own = image.world_from_ego
        return image if own is None else replace(image, world_from_ego=moved(own))

    return replace(
        frame, world_from_ego=moved(frame.world_from_ego), images=tuple(with_pose(image) for image in frame.images)
    )
