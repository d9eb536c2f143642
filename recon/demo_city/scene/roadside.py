"""Static objects along the streets: houses, trees, lamps, signs, fences, parked vehicles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from recon.arrays import F64
from recon.demo_city.config import CityConfig
from recon.demo_city.plan.city_plan import CityPlan
from recon.demo_city.plan.plan_kernels import signed_kerb_distance
from recon.demo_city.scene.ground import Ground
from recon.demo_city.scene.solids import SolidList, upright
from recon.demo_city.scene.street_furniture import building, fence, lamp, sign, tree
from recon.demo_city.scene.vehicles import car, truck

Rng = np.random.Generator
BENT_RAD = 0.2  # turn of a kerb over half a house; streets of a seed turn less, corners of a map more


@dataclass(frozen=True, slots=True)
class Frontage:
    """One side of one street, along which objects are placed."""

    plan: CityPlan
    ground: Ground
    number: int  # of the plan's line
    side: float  # 1 left, -1 right
    kerb_m: float
    walk_m: float
    first_m: float
    last_m: float

    def xy(self, s_m: float, behind_m: float) -> tuple[float, float]:
        """Return the world point so many metres behind the kerb."""
        x, y = self.plan.at(self.number, s_m, self.side * (self.kerb_m + behind_m)).tolist()
        return x, y

    def upright_pose(self, s_m: float, behind_m: float, turn_rad: float = 0.0) -> F64 | None:
        """Return an upright pose along the street, or None if the place is on a road."""
        x, y = self.xy(s_m, behind_m)
        if float(signed_kerb_distance(self.ground.plan, np.array([[x, y]]))[0]) < min(behind_m, 0.4) - 0.05:
            return None
        return upright(x, y, self.ground.height(x, y), self.plan.heading(self.number, s_m) + turn_rad)

    def is_free(self, s_m: float, behind_m: float, half_s: float, half_t: float, margin_m: float) -> bool:
        """Return whether a rectangle is clear of every road; none fits where the kerb bends."""
        heading = self.plan.heading(self.number, s_m)
        ends = [self.plan.heading(self.number, s_m + sign * half_s) for sign in (-1.0, 1.0)]
        if max(abs(end - heading) for end in ends) > BENT_RAD:
            return False
        grid = [(a, b) for a in (-1.0, -0.5, 0.0, 0.5, 1.0) for b in (-1.0, 0.0, 1.0)]
        points = [self.xy(s_m + a * half_s, behind_m + b * half_t) for a, b in grid]
        return bool(signed_kerb_distance(self.ground.plan, np.array(points)).min() > margin_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The style of buildings and plants along one side of a street."""

    house_share: float
    setback_m: float
    gap_m: float
    storeys: int
    tree_gap_m: float
    trees: tuple[str, ...]
    fences: str
    lamp_gap_m: float
    lamp_height_m: float

    @classmethod
    def random(cls, rng: Rng) -> Style:
        """Draw a style."""
        trees = [("round",), ("round", "bush"), ("tall",), ("cone", "round"), ("round", "tall", "bush", "cone")]
        return cls(
            house_share=float(rng.uniform(0.35, 1.0)),
            setback_m=float(rng.choice([0.3, 2.0, 4.0, 7.0])),
            gap_m=float(rng.choice([0.2, 3.0, 7.0, 12.0])),
            storeys=int(rng.integers(1, 6)),
            tree_gap_m=float(rng.choice([7.0, 11.0, 18.0, 40.0])),
            trees=trees[int(rng.integers(len(trees)))],
            fences=str(rng.choice(["", "wall", "fence", "hedge"])),
            lamp_gap_m=float(rng.uniform(22.0, 36.0)),
            lamp_height_m=float(rng.uniform(5.0, 8.0)),
        )


def furnish(plan: CityPlan, ground: Ground, rng: Rng) -> tuple[SolidList, F64]:
    """Return the static solids except parked vehicles, and the lamps (N, 3) in world metres."""
    solids, lamps = SolidList(), list[tuple[float, float, float]]()
    styles = {1.0: Style.random(rng), -1.0: Style.random(rng)}
    for verge in plan.verges():
        frontage = Frontage(plan, ground, *dataclasses.astuple(verge))
        style = styles[frontage.side]
        _houses(solids, frontage, style, rng)
        _plants(solids, frontage, style, rng)
        _fences(solids, frontage, style, rng)
        s = frontage.first_m + rng.uniform(0.0, 20.0)
        reach = float(rng.uniform(0.9, 2.2))
        while s < frontage.last_m:
            pose = frontage.upright_pose(s, 0.45, -frontage.side * np.pi / 2)
            if pose is not None:
                solids.extend(lamp(pose, style.lamp_height_m, reach))
                lamps.append((*frontage.xy(s, 0.45 - reach), float(pose[2, 3]) + style.lamp_height_m))
            s += style.lamp_gap_m * rng.uniform(0.9, 1.1)
        s = frontage.first_m + rng.uniform(0.0, 25.0)
        while s < frontage.last_m:
            pose = frontage.upright_pose(s, 0.6, 0.0 if frontage.side < 0 else np.pi)
            if pose is not None:
                solids.extend(sign(pose, rng))
            s += rng.uniform(14.0, 55.0)
    for number, end in plan.ends():
        x, y = plan.at(number, end, 0.0).tolist()
        pose = upright(x, y, ground.height(x, y), plan.heading(number, end) + np.pi / 2)
        if float(signed_kerb_distance(ground.plan, np.array([[x, y]]))[0]) > 5.0:
            solids.extend(building(pose, float(rng.uniform(12.0, 20.0)), 8.0, int(rng.integers(2, 5)), rng))
    return solids, np.array(lamps).reshape(-1, 3)


def _houses(solids: SolidList, frontage: Frontage, style: Style, rng: Rng) -> None:
    s = frontage.first_m
    while s < frontage.last_m - 6.0:
        length, depth = rng.uniform(8.0, 18.0), rng.uniform(8.0, 11.0)
        behind = frontage.walk_m + style.setback_m + rng.uniform(0.0, 1.5) + depth / 2
        storeys = max(1, style.storeys + int(rng.integers(-1, 2)))
        wanted = rng.random() < style.house_share
        middle = s + length / 2
        if wanted and frontage.is_free(middle, behind, length / 2 + 0.5, depth / 2 + 0.3, frontage.walk_m * 0.8):
            x, y = frontage.xy(middle, behind)
            pose = upright(x, y, frontage.ground.height(x, y), frontage.plan.heading(frontage.number, middle))
            solids.extend(building(pose, length, depth, storeys, rng))
        s += length + style.gap_m * rng.uniform(0.5, 1.5)


def _plants(solids: SolidList, frontage: Frontage, style: Style, rng: Rng) -> None:
    s = frontage.first_m + rng.uniform(0.0, 9.0)
    while s < frontage.last_m:
        kind = str(rng.choice(style.trees))
        pose = frontage.upright_pose(
            s, frontage.walk_m + rng.uniform(0.5, max(1.0, style.setback_m)), rng.uniform(0.0, 2 * np.pi)
        )
        if pose is not None:
            pose[2, 3] -= 0.05
            solids.extend(tree(pose, rng, kind))
        s += style.tree_gap_m * rng.uniform(0.6, 1.5)


def _fences(solids: SolidList, frontage: Frontage, style: Style, rng: Rng) -> None:
    if not style.fences or style.setback_m < 2.0:
        return
    s = frontage.first_m + 2.0
    while s < frontage.last_m:
        if rng.random() < 0.6 and frontage.is_free(s, frontage.walk_m + 0.5, 2.0, 0.1, frontage.walk_m * 0.7):
            pose = frontage.upright_pose(s, frontage.walk_m + 0.5)
            if pose is not None:
                solids.extend(fence(pose, 4.0, rng, style.fences))
        s += 4.0


def park_vehicles(plan: CityPlan, ground: Ground, config: CityConfig, rng: Rng) -> SolidList:
    """Return the vehicles parked in the bays of a plan during one trip."""
    solids = SolidList()
    density = float(rng.uniform(0.15, 0.75)) * config.traffic
    for bay in plan.bays():
        at = bay.first_m
        while at < bay.last_m:
            free = not any(a < at < b for a, b in bay.closed)
            draw = rng.random()
            if free and draw < density:
                s, across = at + rng.normal(0.0, 0.3), bay.t_m + rng.normal(0.0, 0.06)
                x, y = plan.at(bay.number, s, across).tolist()
                yaw = plan.heading(bay.number, s) + (0.0 if bay.forward else np.pi) + rng.normal(0.0, 0.02)
                large = draw < 0.04 * density and bay.large
                solids.extend((truck if large else car)(upright(x, y, ground.height(x, y), yaw), rng))
                at += 4.0 if large else 0.0
            at += 6.1
    return solids
