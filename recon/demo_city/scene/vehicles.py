"""Movable objects as solids: cars, vans, trucks, buses, cyclists, people. Their class is UNKNOWN."""

from __future__ import annotations

import numpy as np

from recon.arrays import F64
from recon.classes import RoadClass
from recon.demo_city.scene.solid_columns import (
    BOX,
    BOXBODY,
    CAR_BODY,
    CAR_CABIN,
    CLOTH,
    CYLINDER,
    ELLIPSOID,
    METAL,
    TYRE,
)
from recon.demo_city.scene.solids import SolidList, offset
from recon.geometry import transform

UNKNOWN = RoadClass.UNKNOWN
# A wheel is a cylinder whose axis, its z, lies across the vehicle.
ACROSS = transform([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], [0.0, 0.0, 0.0])

CAR_COLORS = np.array(
    [(0.55, 0.55, 0.56), (0.75, 0.75, 0.74), (0.03, 0.03, 0.035), (0.09, 0.10, 0.12), (0.35, 0.03, 0.03)]
    + [(0.03, 0.07, 0.22), (0.28, 0.29, 0.30), (0.10, 0.16, 0.12), (0.45, 0.36, 0.20)]
)


def car(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a car whose base is the ground under its middle, x forward."""
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
        BOX, CAR_BODY, unknown, offset(world_from_base, 0, 0, middle), half, color, taper=(0.06, 0.04, 0.05), seed=seed
    )
    back, front = -0.47 * length, (0.34 if van else 0.22) * length
    cabin = (0.5 * (front - back), 0.46 * width, 0.5 * (height - belt))
    taper = (0.5, 0.08, 0.14) if van else (0.62, 0.34, 0.2)
    pose = offset(world_from_base, 0.5 * (front + back), 0, 0.5 * (height + belt))
    solids.add(BOX, CAR_CABIN, unknown, pose, cabin, color, taper=taper, seed=seed)
    _wheels(solids, world_from_base, (-0.29 * length, 0.31 * length), width, 0.32)
    return solids


def _wheels(solids: SolidList, base: F64, at: tuple[float, ...], width: float, radius: float) -> None:
    for x in at:
        for y in (-0.5 * width + 0.1, 0.5 * width - 0.1):
            pose = offset(base, x, y, radius) @ ACROSS
            solids.add(CYLINDER, TYRE, UNKNOWN, pose, (radius, radius, 0.115), (0.02, 0.02, 0.022))


BUS_COLORS = np.array([(0.5, 0.05, 0.04), (0.55, 0.42, 0.03), (0.05, 0.2, 0.35), (0.6, 0.6, 0.6)])


def truck(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a truck with a box body, or a bus."""
    solids = SolidList()
    bus = rng.random() < 0.4
    length = rng.uniform(9.5, 12.0) if bus else rng.uniform(6.0, 8.5)
    width, height = 2.35, rng.uniform(2.8, 3.1) if bus else rng.uniform(2.6, 3.3)
    paint = CAR_COLORS[rng.integers(len(CAR_COLORS))]
    if bus:
        color = BUS_COLORS[rng.integers(len(BUS_COLORS))]
        _box(solids, world_from_base, (0.0, length, width, 0.3, 1.35), color, CAR_BODY)
        _box(solids, world_from_base, (0.0, length, width - 0.04, 1.35, height), color, CAR_CABIN, (0.03, 0.01, 0.02))
    else:
        white = np.array([0.6, 0.6, 0.58]) * rng.uniform(0.5, 1.2)
        _box(solids, world_from_base, (-1.0, length - 2.0, width, 0.75, height), white, BOXBODY)
        front = length / 2 - 0.95
        _box(solids, world_from_base, (front, 1.8, width - 0.15, 0.35, 1.25), paint, CAR_BODY)
        _box(solids, world_from_base, (front, 1.8, width - 0.15, 1.25, 2.3), paint, CAR_CABIN, (0.15, 0.0, 0.06))
    _wheels(solids, world_from_base, (-0.3 * length, 0.33 * length), width, 0.46)
    return solids


def _box(
    solids: SolidList,
    base: F64,
    place: tuple[float, float, float, float, float],
    color: F64,
    material: int,
    taper: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    x, length, width, low, high = place
    half = (length / 2, width / 2, (high - low) / 2)
    solids.add(BOX, material, UNKNOWN, offset(base, x, 0, (low + high) / 2), half, color, taper=taper)


CLOTHES = np.array([(0.04, 0.05, 0.09), (0.3, 0.04, 0.04), (0.08, 0.2, 0.1), (0.45, 0.44, 0.4), (0.35, 0.25, 0.05)])


def person(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a person on foot, x forward."""
    solids = SolidList()
    tall = rng.uniform(0.88, 1.06)
    coat, legs = CLOTHES[rng.integers(len(CLOTHES), size=2)] * rng.uniform(0.6, 1.2, (2, 1))
    step = rng.uniform(-0.18, 0.18)
    for side in (-1.0, 1.0):
        pose = offset(world_from_base, side * step, side * 0.09, 0.42 * tall)
        solids.add(CYLINDER, CLOTH, UNKNOWN, pose, (0.075, 0.075, 0.42 * tall), legs)
        pose = offset(world_from_base, -side * step, side * 0.24, 1.12 * tall)
        solids.add(ELLIPSOID, CLOTH, UNKNOWN, pose, (0.06, 0.055, 0.30 * tall), coat)
    solids.add(ELLIPSOID, CLOTH, UNKNOWN, offset(world_from_base, 0, 0, 1.13 * tall), (0.14, 0.21, 0.36 * tall), coat)
    skin = np.array([0.42, 0.28, 0.2]) * rng.uniform(0.35, 1.2)
    solids.add(ELLIPSOID, CLOTH, UNKNOWN, offset(world_from_base, 0.02, 0, 1.62 * tall), (0.1, 0.085, 0.125), skin)
    return solids


def cyclist(world_from_base: F64, rng: np.random.Generator) -> SolidList:
    """Return a bicycle with its rider, x forward."""
    solids = SolidList()
    for x in (-0.52, 0.52):
        pose = offset(world_from_base, x, 0, 0.34) @ ACROSS
        solids.add(CYLINDER, TYRE, UNKNOWN, pose, (0.34, 0.34, 0.02), (0.03, 0.03, 0.03))
    frame = offset(world_from_base, 0, 0, 0.62)
    solids.add(BOX, METAL, UNKNOWN, frame, (0.45, 0.03, 0.05), CAR_COLORS[rng.integers(len(CAR_COLORS))])
    solids.add(CYLINDER, METAL, UNKNOWN, offset(world_from_base, 0.45, 0, 0.72), (0.025, 0.025, 0.3), (0.2, 0.2, 0.2))
    solids.extend(person(offset(world_from_base, -0.1, 0, 0.22), rng))
    return solids
