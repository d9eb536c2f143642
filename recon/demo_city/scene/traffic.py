"""The traffic of one trip: vehicles in both directions, cyclists, people on sidewalks and crossings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recon.demo_city.config import CityConfig
from recon.demo_city.plan.mapped_streets import MappedStreets
from recon.demo_city.plan.marking import MAIN
from recon.demo_city.plan.street import Street

Kind = Literal["car", "truck", "cyclist", "person"]
CLEAR_M: dict[Kind, float] = {"car": 6.5, "truck": 9.0, "cyclist": 4.5, "person": 3.5}  # around others on the road


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A vehicle, cyclist or person in steady motion along or across a line of the plan."""

    kind: Kind
    s_m: float  # at time 0
    t_m: float
    along_mps: float
    across_mps: float = 0.0
    seed: int = 0
    number: int = MAIN  # of the plan's line


def draw_traffic(
    street: Street, config: CityConfig, rng: np.random.Generator, *, ego_t_m: float, forward: bool
) -> tuple[Agent, ...]:
    """Draw the traffic that the recording vehicle meets; it drives at `ego_t_m`."""
    ego_mps = config.speed_mps if forward else -config.speed_mps
    start = 0.0 if forward else config.driven_m
    span = max(config.driven_m, 20.0)
    agents: list[Agent] = []

    def seed() -> int:
        return int(rng.integers(1 << 30))

    for lane in street.section.lanes:
        sign = 1.0 if lane.forward else -1.0
        if lane.kind == "drive" and abs(lane.t_m - ego_t_m) > 0.5:
            speed = sign * float(rng.uniform(6.0, 11.0))
            # They are met between the first metres and the end of the drive.
            for _ in range(int(rng.poisson(1.6 * config.traffic * max(span / 100.0, 0.5)))):
                when = float(rng.uniform(0.05, 1.0)) * span / config.speed_mps
                meet = start + ego_mps * when + float(rng.uniform(-12.0, 12.0))
                kind: Kind = "truck" if rng.random() < 0.15 else "car"
                agents.append(Agent(kind=kind, s_m=meet - speed * when, t_m=lane.t_m, along_mps=speed, seed=seed()))
        elif lane.kind == "drive":
            for ahead in (1.0, -1.0):
                if rng.random() < 0.4 * config.traffic:
                    gap = float(rng.uniform(13.0, 30.0)) * ahead * np.sign(ego_mps)
                    kind = "truck" if rng.random() < 0.12 else "car"
                    agents.append(Agent(kind=kind, s_m=start + gap, t_m=lane.t_m, along_mps=ego_mps, seed=seed()))
        elif lane.kind == "bike":
            for _ in range(int(rng.poisson(1.2 * config.traffic))):
                at = start + float(rng.uniform(-10.0, span)) * float(np.sign(ego_mps))
                agents.append(
                    Agent(kind="cyclist", s_m=at, t_m=lane.t_m, along_mps=sign * float(rng.uniform(3, 6)), seed=seed())
                )
    section = street.section
    for _ in range(int(rng.poisson(config.traffic * (2.0 + span / 12.0)))):
        left = bool(rng.random() < 0.5)
        kerb, walk = (
            (section.left_kerb_t_m, section.left_walk_m) if left else (-section.right_kerb_t_m, section.right_walk_m)
        )
        t = (kerb + 0.5 + float(rng.uniform(0.2, 1.0)) * max(walk - 0.6, 0.3)) * (1.0 if left else -1.0)
        at = float(rng.uniform(-20.0, span + 25.0))
        agents.append(Agent(kind="person", s_m=at, t_m=t, along_mps=float(rng.choice([-1.3, 0.0, 1.3])), seed=seed()))
    for crossing in street.crossings:
        if crossing.street == MAIN and rng.random() < 0.5 * config.traffic:
            middle = 0.5 * (crossing.s0_m + crossing.s1_m) + float(rng.uniform(-1.0, 1.0))
            pace = float(rng.choice([-1.0, 1.0])) * 1.2
            reach = abs(middle - start) / config.speed_mps
            far = crossing.t1_m if pace > 0 else crossing.t0_m
            # People who cross have left the lane when the recording vehicle arrives.
            agents.append(
                Agent(
                    kind="person",
                    s_m=middle,
                    t_m=far - pace * (reach - 2.0),
                    along_mps=0.0,
                    across_mps=pace,
                    seed=seed(),
                )
            )
    return tuple(agents)


def draw_lane_traffic(plan: MappedStreets, config: CityConfig, rng: np.random.Generator) -> tuple[Agent, ...]:
    """Draw the traffic on the lanes, crossings and sidewalks of a map; nobody touches the recording vehicle."""
    times = np.arange(config.frames) * config.spacing_m / config.speed_mps
    ego = plan.at(MAIN, np.linspace(0.0, config.driven_m, config.frames), 0.0)
    tracks = [ego if config.trip % 2 == 0 else ego[::-1]]
    agents: list[Agent] = []

    def add(kind: Kind, number: int, t_m: float, speed: float) -> None:
        low, high = plan.span(number)
        s0 = float(rng.uniform(low, high)) - speed * float(rng.choice(times))
        s = s0 + speed * times
        track = plan.at(number, s, t_m)
        there = (s > low) & (s < high)
        gaps = [np.linalg.norm(track - other, axis=1)[there].min(initial=np.inf) for other in tracks]
        if min(gaps) > CLEAR_M[kind]:
            if kind != "person":
                tracks.append(np.where(there[:, None], track, np.inf))
            seed = int(rng.integers(1 << 30))
            agents.append(Agent(kind=kind, s_m=s0, t_m=t_m, along_mps=speed, seed=seed, number=number))

    span = max(config.driven_m, 20.0)
    kerbs, lanes, walks = len(plan.kerbs), len(plan.lanes), len(plan.walks)
    for _ in range(int(rng.poisson(config.traffic * (3.0 + span / 12.0))) if lanes else 0):
        kind: Kind = "truck" if rng.random() < 0.15 else "car"
        add(
            kind,
            kerbs + int(rng.integers(lanes)),
            0.0,
            float(rng.choice([0.0, 1.0], p=[0.2, 0.8]) * rng.uniform(5, 11)),
        )
    for _ in range(int(rng.poisson(config.traffic * (2.0 + span / 12.0))) if kerbs else 0):
        speed = float(rng.choice([-1.3, 0.0, 1.3]))
        add("person", int(rng.integers(kerbs)), -float(rng.uniform(0.7, 2.3)), speed)
    for number in range(kerbs + lanes, kerbs + lanes + walks):
        if rng.random() < 0.5 * config.traffic:
            add("person", number, float(rng.uniform(-1.0, 1.0)), float(rng.choice([-1.2, 1.2])))
    return tuple(agents)
