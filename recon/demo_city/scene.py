"""A seeded scene: the street, its ground, what stands along it, what moves, and the light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from recon.demo_city.config import CityConfig
from recon.demo_city.ground import Ground, build_ground
from recon.demo_city.light import Light
from recon.demo_city.objects import SolidList, building, car, lamp, tree, upright
from recon.demo_city.ray_kernels import shade_ground
from recon.demo_city.street import Street
from recon.geometry import F64, apply, transform

WHEELBASE_M = 2.8
TRACK_M = 1.6
ONCOMING_MPS = 9.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Everything that a camera of the drive can see."""

    street: Street
    ground: Ground
    light: Light
    static: F64  # (N, COLUMNS) table of solids
    oncoming_s_m: F64  # (N,) where oncoming cars are at time 0
    oncoming_seeds: tuple[int, ...]

    @classmethod
    def build(cls, config: CityConfig) -> Self:
        """Build the scene of a seed; what one part draws does not shift what another part draws."""
        streams = [np.random.default_rng((config.seed, i)) for i in range(5)]
        street = Street.random(config, streams[0])
        ground = build_ground(street, texel_m=config.texel_m, seed=config.seed, rng=streams[1])
        light = Light.random(streams[2])
        static = _roadside(street, ground, config, streams[3]).table()
        shade_ground(ground, static, *light.sun)
        rng = streams[4]
        # They are met between the first quarter and the end of the drive.
        meeting = np.sort(rng.uniform(0.2, 0.9, config.oncoming_cars)) * max(config.driven_m, 20.0)
        return cls(
            street=street,
            ground=ground,
            light=light,
            static=static,
            oncoming_s_m=meeting * (1.0 + ONCOMING_MPS / config.speed_mps),
            oncoming_seeds=tuple(int(v) for v in rng.integers(0, 1 << 30, config.oncoming_cars)),
        )

    def ego_pose(self, s_m: float) -> F64:
        """Return `world_from_ego` with the wheels on the road: the ego frame lies under the rear axle."""
        return self.wheels_pose(s_m, self.street.ego_t_m, backwards=False)

    def wheels_pose(self, s_m: float, t_m: float, *, backwards: bool) -> F64:
        """Return the pose of a vehicle on four wheels, pitched and rolled by the road under them."""
        x, y = self.street.line.at(s_m, t_m).tolist()
        yaw = float(self.street.line.heading_at(s_m)) + (np.pi if backwards else 0.0)
        flat = upright(x, y, 0.0, yaw)
        feet = np.array([(0.0, TRACK_M / 2, 0.0), (0.0, -TRACK_M / 2, 0.0), (WHEELBASE_M, 0.0, 0.0)])
        world = apply(flat, feet)
        heights = [self.ground.height(px, py) for px, py in world[:, :2].tolist()]
        rear = 0.5 * (heights[0] + heights[1])
        ahead = np.array([np.cos(yaw), np.sin(yaw), (heights[2] - rear) / WHEELBASE_M])
        left = np.array([-np.sin(yaw), np.cos(yaw), (heights[0] - heights[1]) / TRACK_M])
        up = np.cross(ahead, left)
        forward = ahead / np.linalg.norm(ahead)
        up /= np.linalg.norm(up)
        return transform(np.stack([forward, np.cross(up, forward), up], axis=1), [x, y, rear])

    def solids_at(self, time_s: float) -> F64:
        """Return all solids at a time after the first frame; those that move come last."""
        cars = SolidList()
        for s0, seed in zip(self.oncoming_s_m.tolist(), self.oncoming_seeds, strict=True):
            s = s0 - ONCOMING_MPS * time_s
            if self.street.line.s[0] + 5.0 < s < self.street.line.s[-1] - 5.0:
                pose = self.wheels_pose(s, 0.5 * self.street.section.lane_m, backwards=True)
                cars.extend(car(pose @ transform(np.eye(3), [WHEELBASE_M / 2, 0, 0]), np.random.default_rng(seed)))
        return np.concatenate([self.static, cars.table()])


def _roadside(street: Street, ground: Ground, config: CityConfig, rng: np.random.Generator) -> SolidList:
    solids, section = SolidList(), street.section
    first, last = float(street.line.s[0]) + 8.0, float(street.line.s[-1]) - 8.0
    for side in (1.0, -1.0):
        kerb = section.left_kerb_t_m if side > 0 else -section.right_kerb_t_m
        walk = section.left_walk_m if side > 0 else section.right_walk_m
        _houses(solids, street, ground, side, kerb + walk, first, last, rng)
        s = first + rng.uniform(0.0, 9.0)
        while s < last:
            if rng.random() < 0.75:
                solids.extend(tree(_stand(street, ground, s, side * (kerb + walk + rng.uniform(0.8, 2.2)), rng), rng))
            s += rng.uniform(8.0, 17.0)
        s = first + rng.uniform(0.0, 20.0)
        while s < last:
            x, y = street.line.at(s, side * (kerb + 0.45)).tolist()
            towards = float(street.line.heading_at(s)) - side * np.pi / 2
            solids.extend(lamp(upright(x, y, ground.height(x, y), towards)))
            s += rng.uniform(26.0, 34.0)
    _parked(solids, street, ground, config, rng)
    return solids


def _stand(street: Street, ground: Ground, s_m: float, t_m: float, rng: np.random.Generator) -> F64:
    x, y = street.line.at(s_m, t_m).tolist()
    return upright(x, y, ground.height(x, y) - 0.05, float(rng.uniform(0.0, 2 * np.pi)))


def _houses(
    solids: SolidList,
    street: Street,
    ground: Ground,
    side: float,
    front_m: float,
    first: float,
    last: float,
    rng: np.random.Generator,
) -> None:
    s = first
    while s < last - 12.0:
        length = rng.uniform(9.0, 17.0)
        depth, setback = rng.uniform(8.0, 11.0), rng.uniform(3.5, 7.0)
        if rng.random() < 0.8:
            x, y = street.line.at(s + length / 2, side * (front_m + setback + depth / 2)).tolist()
            pose = upright(x, y, ground.height(x, y), float(street.line.heading_at(s + length / 2)))
            solids.extend(building(pose, length, depth, int(rng.integers(2, 5)), rng))
        s += length + rng.uniform(1.5, 8.0)


def _parked(solids: SolidList, street: Street, ground: Ground, config: CityConfig, rng: np.random.Generator) -> None:
    section, crossing = street.section, street.crossing
    bays = np.arange(street.line.s[0] + 15.0, street.line.s[-1] - 15.0, 6.2)
    # No parking close to the zebra: pedestrians must be seen.
    bays = bays[(bays < crossing.s0_m - 8.0) | (bays > crossing.s1_m + 6.0)]
    near = bays[(bays > -5.0) & (bays < config.driven_m + 15.0)]
    count = min(config.parked_cars, len(near))
    for s in np.sort(rng.choice(near, count, replace=False)).tolist():
        t = section.right_kerb_t_m + 1.05 + rng.normal(0.0, 0.04)
        at = s + rng.normal(0.0, 0.3)
        x, y = street.line.at(at, t).tolist()
        yaw = float(street.line.heading_at(at)) + rng.normal(0.0, 0.015)
        solids.extend(car(upright(x, y, ground.height(x, y), yaw), rng))
