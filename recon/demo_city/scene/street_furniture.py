"""Static objects along a street, built from solids: trees, buildings, lamps, traffic signs, fences."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from recon.classes import RoadClass
from recon.demo_city.scene.solid_columns import (
    BARK,
    BOX,
    CYLINDER,
    ELLIPSOID,
    FENCE,
    LAMP,
    LEAVES,
    METAL,
    ROOF,
    WALL,
)
from recon.demo_city.scene.solids import SolidList, offset
from recon.geometry import transform


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
    # The trunk reaches into the crown, whatever the positions of its parts.
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
    # Walls extend below the ground, because it may slope.
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
    """Return a traffic sign that faces -x of its base."""
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
