"""A seeded scene: streets, ground, static solids, traffic and light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from recon.arrays import F64
from recon.demo_city.config import CONDITIONS, CityConfig
from recon.demo_city.plan.city_plan import CityPlan
from recon.demo_city.plan.mapped_streets import MappedStreets
from recon.demo_city.plan.marking import MAIN
from recon.demo_city.plan.read_streets import read_streets
from recon.demo_city.plan.street import Street
from recon.demo_city.scene.ground import Ground, build_ground
from recon.demo_city.scene.light import Light
from recon.demo_city.scene.light_kernels import light_lamps, shade_ground
from recon.demo_city.scene.roadside import furnish, park_vehicles
from recon.demo_city.scene.solids import SolidList, upright
from recon.demo_city.scene.traffic import Agent, draw_lane_traffic, draw_traffic
from recon.demo_city.scene.vehicles import car, cyclist, person, truck
from recon.geometry import apply, transform

WHEELBASE_M = 2.8
TRACK_M = 1.6
HEAD_LAMP_M = (3.6, 0.65)  # of the vehicle itself: ahead of the rear axle, above the road


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CityScene:
    """Everything that the cameras of a drive can see."""

    plan: CityPlan
    ground: Ground
    light: Light
    static: F64  # (N, COLUMNS) table of solids
    agents: tuple[Agent, ...]
    ego_t_m: float  # the lane that is driven in
    forward: bool  # towards growing s
    start_s_m: float

    @classmethod
    def build(cls, config: CityConfig, *, threads: int = 2) -> Self:
        """Build the scene of a seed; each part has a random generator of its own."""
        street_rng, ground_rng, side_rng = (np.random.default_rng((config.seed, i)) for i in range(3))
        trip = (config.seed, config.trip, CONDITIONS.index(config.condition))
        light_rng, lane_rng, park_rng, traffic_rng = (np.random.default_rng((*trip, 10 + i)) for i in range(4))
        plan = _plan(config, street_rng)
        ground = build_ground(plan, texel_m=config.texel_m, seed=config.seed, rng=ground_rng, threads=threads)
        light = Light.random(light_rng, config.condition)
        solids, lamps = furnish(plan, ground, side_rng)
        solids.extend(park_vehicles(plan, ground, config, park_rng))
        static = solids.table()
        shade_ground(ground, static, *light.sun)
        if light.lamps_on:
            light_lamps(ground, lamps)
        forward = config.trip % 2 == 0
        lanes = plan.ego_lanes(forward=forward)
        ego_t = lanes[int(lane_rng.integers(len(lanes)))] + float(np.clip(lane_rng.normal(0.0, 0.12), -0.3, 0.3))
        if isinstance(plan, Street):
            agents = draw_traffic(plan, config, traffic_rng, ego_t_m=ego_t, forward=forward)
        else:
            agents = draw_lane_traffic(plan, config, traffic_rng)
        return cls(
            plan=plan,
            ground=ground,
            light=light,
            static=static,
            agents=agents,
            ego_t_m=ego_t,
            forward=forward,
            start_s_m=0.0 if forward else config.driven_m,
        )

    def ego_pose(self, driven_m: float) -> F64:
        """Return `world_from_ego` (4, 4) with the wheels on the road; the ego frame is below the rear axle."""
        s = self.start_s_m + (driven_m if self.forward else -driven_m)
        return self.wheels_pose(s, self.ego_t_m, backwards=not self.forward)

    def wheels_pose(self, s_m: float, t_m: float, *, backwards: bool, number: int = MAIN) -> F64:
        """Return the pose of a vehicle on four wheels, pitched and rolled by the road under them."""
        x, y = self.plan.at(number, s_m, t_m).tolist()
        yaw = self.plan.heading(number, s_m) + (np.pi if backwards else 0.0)
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

    def _moving(self, time_s: float) -> list[tuple[Agent, F64]]:
        result = []
        for agent in self.agents:
            s, t = agent.s_m + agent.along_mps * time_s, agent.t_m + agent.across_mps * time_s
            low, high = self.plan.span(agent.number)
            if not (low < s < high and abs(t) < 20.0):
                continue
            if agent.kind == "person":
                x, y = self.plan.at(agent.number, s, t).tolist()
                yaw = self.plan.heading(agent.number, s) + np.arctan2(agent.across_mps, agent.along_mps)
                result.append((agent, upright(x, y, self.ground.height(x, y), yaw)))
            else:
                pose = self.wheels_pose(s, t, backwards=agent.along_mps < 0.0, number=agent.number)
                result.append((agent, pose @ transform(np.eye(3), [WHEELBASE_M / 2, 0, 0])))
        return result

    def solids_at(self, time_s: float) -> F64:
        """Return all solids (N, COLUMNS) at a time after the first frame, the moving ones last."""
        make = {"car": car, "truck": truck, "cyclist": cyclist, "person": person}
        solids = SolidList()
        for agent, pose in self._moving(time_s):
            solids.extend(make[agent.kind](pose, np.random.default_rng(agent.seed)))
        return np.concatenate([self.static, solids.table()])

    def heads_at(self, time_s: float, world_from_ego: F64) -> F64:
        """Return head lamps (N, 6): world position, direction in the plane, strength; none by day."""
        if not self.light.lamps_on:
            return np.zeros((0, 6))
        strength = 1.3 if self.light.ambient_rgb[1] < 0.1 else 0.25
        rows = []
        lamps = [(world_from_ego, HEAD_LAMP_M[0])]
        lamps += [(pose, 2.2) for agent, pose in self._moving(time_s) if agent.kind in ("car", "truck")]
        for pose, ahead in lamps:
            x, y, z = apply(pose, np.array([[ahead, 0.0, HEAD_LAMP_M[1]]]))[0].tolist()
            size = float(np.hypot(pose[0, 0], pose[1, 0]))
            rows.append((x, y, z, pose[0, 0] / size, pose[1, 0] / size, strength))
        return np.array(rows)


def _plan(config: CityConfig, rng: np.random.Generator) -> Street | MappedStreets:
    if not config.map_log:
        return Street.random(config, rng)
    return read_streets(
        Path(config.map_log), driven_m=config.driven_m, dash_m=config.dash_m, gap_m=config.gap_m, rng=rng
    )
