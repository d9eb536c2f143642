"""Solids: the tapered boxes, ellipsoids and cylinders that all objects are built from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recon.arrays import F64
from recon.classes import RoadClass
from recon.demo_city.scene.solid_columns import (
    CENTER,
    CLASS_ID,
    COLOR,
    COLUMNS,
    CYLINDER,
    ELLIPSOID,
    HALF,
    KIND,
    MATERIAL,
    RADIUS,
    SEED,
    TAPER,
)
from recon.geometry import transform


@dataclass(slots=True)
class SolidList:
    """A growing list of solids."""

    rows: list[tuple[int, int, int, F64, F64, F64, F64, int]] = field(default_factory=list)

    def add(
        self,
        kind: int,
        material: int,
        road_class: RoadClass,
        world_from_solid: F64,
        half_m: tuple[float, float, float],
        color: npt.ArrayLike,
        *,
        taper: tuple[float, float, float] = (0.0, 0.0, 0.0),
        seed: int = 0,
    ) -> None:
        """Add one solid: its centre's pose (4, 4) and half extents in metres."""
        row = (np.array(half_m), np.array(taper), np.asarray(color, dtype=np.float64))
        self.rows.append((kind, material, int(road_class), world_from_solid, *row, seed))

    def extend(self, other: SolidList) -> None:
        """Add all solids of another list."""
        self.rows.extend(other.rows)

    def table(self) -> F64:
        """Return the solids as rows of the kernels' table (N, COLUMNS)."""
        count = len(self.rows)
        poses = np.array([row[3] for row in self.rows]).reshape(count, 4, 4)
        half = np.array([row[4] for row in self.rows]).reshape(count, 3)
        rotation = np.swapaxes(poses[:, :3, :3], 1, 2) / half[:, :, None]
        shift = -np.einsum("nij,nj->ni", rotation, poses[:, :3, 3])
        table = np.zeros((count, COLUMNS))
        table[:, :TAPER] = np.concatenate([rotation, shift[:, :, None]], axis=2).reshape(count, 12)
        table[:, TAPER : TAPER + 3] = np.array([row[5] for row in self.rows]).reshape(count, 3)
        table[:, CENTER : CENTER + 3] = poses[:, :3, 3]
        table[:, HALF : HALF + 3] = half
        table[:, COLOR : COLOR + 3] = np.array([row[6] for row in self.rows]).reshape(count, 3)
        for column, part in ((KIND, 0), (MATERIAL, 1), (CLASS_ID, 2), (SEED, 7)):
            table[:, column] = [row[part] for row in self.rows]
        table[:, RADIUS] = _bounding_radius(table[:, KIND], half)
        return table


def _bounding_radius(kind: F64, half: F64) -> F64:
    corner = np.linalg.norm(half, axis=1)
    cylinder = np.hypot(half[:, :2].max(axis=1, initial=0.0), half[:, 2])
    radius: F64 = np.where(
        kind == ELLIPSOID, half.max(axis=1, initial=0.0), np.where(kind == CYLINDER, cylinder, corner)
    )
    return radius


def upright(x_m: float, y_m: float, z_m: float, yaw_rad: float) -> F64:
    """Return the pose of an upright object."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return transform([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], [x_m, y_m, z_m])


def offset(world_from_base: F64, x: float, y: float, z: float) -> F64:
    """Return a pose moved within its own frame."""
    return world_from_base @ transform(np.eye(3), [x, y, z])
