"""What stands and moves in the demo city, built from tapered boxes, ellipsoids and cylinders."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recon.classes import RoadClass
from recon.demo_city.solid_columns import (
    BARK,
    BOX,
    CAR_BODY,
    CAR_CABIN,
    CENTER,
    CLASS_ID,
    COLOR,
    COLUMNS,
    CYLINDER,
    ELLIPSOID,
    HALF,
    KIND,
    LEAVES,
    MATERIAL,
    METAL,
    RADIUS,
    ROOF,
    SEED,
    TAPER,
    TYRE,
    WALL,
)
from recon.geometry import F64, transform


@dataclass(slots=True)
class SolidList:
    """Collects solids."""

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
    """Return the pose of a thing that stands upright."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return transform([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], [x_m, y_m, z_m])


def _at(world_from_base: F64, x: float, y: float, z: float) -> F64:
    return world_from_base @ transform(np.eye(3), [x, y, z])


CAR_COLORS = np.array(
    [(0.55, 0.55, 0.56), (0.75, 0.75, 0.74), (0.03, 0.03, 0.035), (0.09, 0.10, 0.12), (0.35, 0.03, 0.03)]
    + [(0.03, 0.07, 0.22), (0.28, 0.29, 0.30), (0.10, 0.16, 0.12), (0.45, 0.36, 0.20)]
)


def car(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a car whose base is the ground under its middle, x forward. Vehicles move: their class is UNKNOWN."""
    solids, unknown = SolidList(), RoadClass.UNKNOWN
    color = CAR_COLORS[rng.integers(len(CAR_COLORS))] * rng.uniform(0.85, 1.1)
    length, width = rng.uniform(4.0, 4.8), rng.uniform(1.72, 1.86)
    van = rng.random() < 0.25
    height = rng.uniform(1.8, 2.0) if van else rng.uniform(1.42, 1.58)
    belt = 0.62 * height if van else 0.60 * height
    seed = int(rng.integers(1 << 20))
    middle = 0.5 * (0.22 + belt)
    half = (length / 2, width / 2, belt - middle)
    solids.add(
        BOX, CAR_BODY, unknown, _at(world_from_base, 0, 0, middle), half, color, taper=(0.06, 0.04, 0.05), seed=seed
    )
    back, front = -0.47 * length, (0.34 if van else 0.22) * length
    cabin = (0.5 * (front - back), 0.46 * width, 0.5 * (height - belt))
    taper = (0.5, 0.08, 0.14) if van else (0.62, 0.34, 0.2)
    pose = _at(world_from_base, 0.5 * (front + back), 0, 0.5 * (height + belt))
    solids.add(BOX, CAR_CABIN, unknown, pose, cabin, color, taper=taper, seed=seed)
    # A wheel is a cylinder whose axis, its z, lies across the car.
    wheel_turn = transform([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], [0.0, 0.0, 0.0])
    for x in (-0.29 * length, 0.31 * length):
        for y in (-0.5 * width + 0.1, 0.5 * width - 0.1):
            pose = _at(world_from_base, x, y, 0.32) @ wheel_turn
            solids.add(CYLINDER, TYRE, unknown, pose, (0.32, 0.32, 0.115), (0.02, 0.02, 0.022))
    return solids


def tree(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a tree; its base is the foot of the trunk."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    trunk, crown = rng.uniform(2.2, 3.4), rng.uniform(1.4, 2.4)
    bark = np.array([0.10, 0.075, 0.055]) * rng.uniform(0.8, 1.3)
    # The trunk reaches into the crown, however its parts fall.
    tall = trunk + 0.8 * crown
    solids.add(CYLINDER, BARK, background, _at(world_from_base, 0, 0, tall / 2), (0.16, 0.16, tall / 2), bark, seed=3)
    leaves = np.array([0.075, 0.13, 0.035]) * rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, 3)
    for _ in range(int(rng.integers(4, 7))):
        dx, dy = rng.normal(0.0, 0.42 * crown, 2)
        dz = trunk + crown * rng.uniform(0.3, 1.5)
        size = crown * rng.uniform(0.55, 0.85)
        half = (size * rng.uniform(0.85, 1.15), size * rng.uniform(0.85, 1.15), size * rng.uniform(0.7, 0.95))
        seed = int(rng.integers(1 << 20))
        solids.add(ELLIPSOID, LEAVES, background, _at(world_from_base, dx, dy, dz), half, leaves, seed=seed)
    return solids


WALL_COLORS = np.array(
    [(0.42, 0.38, 0.31), (0.33, 0.17, 0.12), (0.50, 0.48, 0.44), (0.38, 0.30, 0.20), (0.30, 0.33, 0.36)]
    + [(0.46, 0.36, 0.30), (0.24, 0.13, 0.10)]
)


def building(
    world_from_base: F64, length_m: float, depth_m: float, storeys: int, rng: np.random.Generator
) -> SolidList:
    """Return a house; its base is the ground under its middle, y pointing away from or to the street."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    height = 3.1 * storeys + 0.5
    seed = int(rng.integers(1 << 20))
    color = WALL_COLORS[rng.integers(len(WALL_COLORS))] * rng.uniform(0.8, 1.15)
    # Walls reach below the ground, which need not be level.
    half = (length_m / 2, depth_m / 2, height / 2 + 1.0)
    solids.add(BOX, WALL, background, _at(world_from_base, 0, 0, height / 2 - 1.0), half, color, seed=seed)
    roof = np.array([0.16, 0.10, 0.08]) * rng.uniform(0.6, 1.5) if rng.random() < 0.6 else np.array([0.12, 0.12, 0.13])
    rise = rng.uniform(1.2, 2.4) if rng.random() < 0.65 else 0.15
    half = (length_m / 2 + 0.35, depth_m / 2 + 0.35, rise)
    taper = (0.12, 0.12, 0.95) if rise > 1.0 else (0.0, 0.0, 0.0)
    solids.add(BOX, ROOF, background, _at(world_from_base, 0, 0, height + rise), half, roof, taper=taper, seed=seed)
    return solids


def lamp(world_from_base: F64) -> SolidList:
    """Return a street lamp; x of its base points to the road."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    grey = (0.22, 0.23, 0.24)
    solids.add(CYLINDER, METAL, background, _at(world_from_base, 0, 0, 2.9), (0.07, 0.07, 3.1), grey)
    solids.add(BOX, METAL, background, _at(world_from_base, 0.7, 0, 5.95), (0.8, 0.06, 0.05), grey)
    return solids
