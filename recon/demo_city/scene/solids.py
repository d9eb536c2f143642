"""What stands and moves in the demo city, built from tapered boxes, ellipsoids and cylinders."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from recon.arrays import F64
from recon.classes import RoadClass
from recon.demo_city.scene.solid_columns import (
    BARK,
    BOX,
    CENTER,
    CLASS_ID,
    COLOR,
    COLUMNS,
    CYLINDER,
    ELLIPSOID,
    FENCE,
    HALF,
    KIND,
    LAMP,
    LEAVES,
    MATERIAL,
    METAL,
    RADIUS,
    ROOF,
    SEED,
    TAPER,
    WALL,
)
from recon.geometry import transform


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


def offset(world_from_base: F64, x: float, y: float, z: float) -> F64:
    """Return a pose moved within its own frame."""
    return world_from_base @ transform(np.eye(3), [x, y, z])


def tree(world_from_base: F64, rng: np.random.Generator, style: str = "round") -> SolidList:
    """Return a tree, round, tall or conical, or a bush; its base is the foot of the trunk."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    trunk, crown = rng.uniform(2.2, 3.6), rng.uniform(1.2, 2.6)
    bark = np.array([0.10, 0.075, 0.055]) * rng.uniform(0.7, 1.5)
    leaves = np.array([0.075, 0.13, 0.035]) * rng.uniform(0.6, 1.4) * rng.uniform(0.75, 1.25, 3)
    if rng.random() < 0.08:
        leaves = np.array([0.20, 0.11, 0.03]) * rng.uniform(0.7, 1.2)
    if style == "bush":
        trunk, crown = 0.1, rng.uniform(0.4, 0.8)
    elif style == "tall":
        trunk, crown = rng.uniform(1.0, 1.8), rng.uniform(0.9, 1.3)
    elif style == "cone":
        trunk, crown = rng.uniform(0.5, 1.0), rng.uniform(1.1, 1.8)
    # The trunk reaches into the crown, however its parts fall.
    tall = trunk + 0.8 * crown
    if style != "bush":
        wide = rng.uniform(0.1, 0.24)
        solids.add(CYLINDER, BARK, background, offset(world_from_base, 0, 0, tall / 2), (wide, wide, tall / 2), bark)
    for i in range(int(rng.integers(4, 7))):
        dx, dy = rng.normal(0.0, 0.42 * crown, 2)
        dz = trunk + crown * rng.uniform(0.3, 1.5)
        half = crown * rng.uniform(0.55, 0.85) * rng.uniform((0.85, 0.85, 0.7), (1.15, 1.15, 0.95))
        if style == "tall":
            dx, dy, dz = 0.3 * dx, 0.3 * dy, trunk + crown * (1.0 + 0.9 * i)
            half[2] *= 1.6
        elif style == "cone":
            dx, dy, dz = 0.0, 0.0, trunk + crown * (0.5 + 0.75 * i)
            half = crown * (1.05 - 0.15 * i) * np.array([1.0, 1.0, 0.75])
        seed = int(rng.integers(1 << 20))
        pose = offset(world_from_base, float(dx), float(dy), float(dz))
        solids.add(ELLIPSOID, LEAVES, background, pose, (half[0], half[1], half[2]), leaves, seed=seed)
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
    solids.add(BOX, WALL, background, offset(world_from_base, 0, 0, height / 2 - 1.0), half, color, seed=seed)
    roof = np.array([0.16, 0.10, 0.08]) * rng.uniform(0.6, 1.5) if rng.random() < 0.6 else np.array([0.12, 0.12, 0.13])
    rise = rng.uniform(1.2, 2.4) if rng.random() < 0.65 else 0.15
    half = (length_m / 2 + 0.35, depth_m / 2 + 0.35, rise)
    taper = (0.12, 0.12, 0.95) if rise > 1.0 else (0.0, 0.0, 0.0)
    solids.add(BOX, ROOF, background, offset(world_from_base, 0, 0, height + rise), half, roof, taper=taper, seed=seed)
    return solids


def lamp(world_from_base: F64, height_m: float = 6.0, reach_m: float = 1.4) -> SolidList:
    """Return a street lamp; x of its base points to the road."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    grey = (0.22, 0.23, 0.24)
    half = height_m / 2 + 0.1
    solids.add(CYLINDER, METAL, background, offset(world_from_base, 0, 0, half - 0.2), (0.07, 0.07, half), grey)
    pose = offset(world_from_base, reach_m / 2, 0, height_m)
    solids.add(BOX, METAL, background, pose, (reach_m / 2 + 0.1, 0.05, 0.05), grey)
    pose = offset(world_from_base, reach_m, 0, height_m - 0.07)
    solids.add(BOX, LAMP, background, pose, (0.32, 0.13, 0.05), (0.6, 0.6, 0.58))
    return solids


SIGN_COLORS = np.array([(0.45, 0.02, 0.02), (0.03, 0.08, 0.42), (0.62, 0.62, 0.60), (0.60, 0.42, 0.03)])


def sign(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a traffic sign whose face looks along -x of its base."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    solids.add(CYLINDER, METAL, background, offset(world_from_base, 0, 0, 1.3), (0.035, 0.035, 1.35), (0.4, 0.4, 0.4))
    face = transform([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], [-0.06, 0.0, 2.4])
    color = SIGN_COLORS[rng.integers(len(SIGN_COLORS))]
    kind = CYLINDER if rng.random() < 0.6 else BOX
    solids.add(kind, METAL, background, world_from_base @ face, (0.33, 0.33, 0.02), color)
    if kind == CYLINDER and rng.random() < 0.7:
        inner = world_from_base @ face @ transform(np.eye(3), [0.0, 0.0, -0.03])
        solids.add(CYLINDER, METAL, background, inner, (0.24, 0.24, 0.02), (0.7, 0.7, 0.68))
    return solids


def fence(world_from_base: F64, length_m: float, rng: np.random.Generator, style: str) -> SolidList:
    """Return a piece of wall, fence or hedge along x of its base."""
    solids, background = SolidList(), RoadClass.BACKGROUND
    height = {"wall": 0.9, "fence": 1.1, "hedge": 1.2}[style] * rng.uniform(0.8, 1.25)
    thick = {"wall": 0.12, "fence": 0.04, "hedge": 0.3}[style]
    color = {
        "wall": WALL_COLORS[rng.integers(len(WALL_COLORS))],
        "fence": np.array([0.22, 0.15, 0.09]) * rng.uniform(0.6, 1.6),
        "hedge": np.array([0.06, 0.10, 0.03]),
    }[style]
    pose = offset(world_from_base, 0, 0, height / 2 - 0.1)
    solids.add(BOX, FENCE, background, pose, (length_m / 2, thick, height / 2 + 0.1), color, seed=3)
    return solids
