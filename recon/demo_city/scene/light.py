"""The light of a drive: the sun, the sky, lamps and windows, haze, and how wet the ground is."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from recon.arrays import F64
from recon.demo_city.config import Condition

Rgb = tuple[float, float, float]


class Light(NamedTuple):
    """Directions and linear colours that the shading kernels read."""

    sun: tuple[float, float, float]  # unit vector towards the sun; straight up if the light is diffuse
    sun_rgb: Rgb
    ambient_rgb: Rgb
    zenith_rgb: Rgb
    horizon_rgb: Rgb
    cloud_rgb: Rgb
    cloud: float  # 0 clear .. 1 mostly cloudy
    soft: float  # share of the sky's light that a shadow blocks
    haze_m: float  # distance at which haze makes up two thirds of a colour
    lamp_rgb: Rgb  # under a street lamp; zero by day
    lamps_on: float  # 0 or 1: vehicles' lamps
    windows: float  # share of lit windows
    wet: float  # 0 dry .. 1 standing water
    gain: float  # from radiance to the encoded image
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator, condition: Condition = "day") -> Self:
        """Draw the light of a condition: time of day, clouds, lamps."""
        # Every condition draws as many numbers, so that later draws do not depend on the condition.
        draws = rng.uniform(0.0, 1.0, 8)
        seed = int(rng.integers(1 << 15))
        make = {"day": _day, "dusk": _dusk, "night": _night, "wet": _wet}[condition]
        return cls(**make(draws), seed=seed)


def _towards(elevation_deg: float, turn: float) -> tuple[float, float, float]:
    elevation, azimuth = np.radians(elevation_deg), turn * 2 * np.pi
    flat = np.cos(elevation)
    return float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(np.sin(elevation))


def _scaled(rgb: Rgb, factor: float) -> Rgb:
    return float(rgb[0] * factor), float(rgb[1] * factor), float(rgb[2] * factor)


OFF = {"lamp_rgb": (0.0, 0.0, 0.0), "lamps_on": 0.0, "windows": 0.0, "wet": 0.0}


def _day(u: F64) -> dict[str, Any]:
    cloud = float(u[0])
    overcast = cloud > 0.78
    elevation = 20.0 + 44.0 * u[1]
    warm = float(np.clip((50.0 - elevation) / 30.0, 0.0, 1.0))
    sun = 0.35 if overcast else 3.0 - 0.9 * cloud
    grey = (0.62, 0.66, 0.72)
    return {
        **OFF,
        "sun": (0.0, 0.0, 1.0) if overcast else _towards(elevation, u[2]),
        "sun_rgb": (sun, sun * (0.96 - 0.08 * warm), sun * (0.88 - 0.22 * warm)),
        "ambient_rgb": (0.95, 1.0, 1.06)
        if overcast
        else (0.38 + 0.14 * cloud, 0.45 + 0.12 * cloud, 0.57 + 0.06 * cloud),
        "zenith_rgb": grey if overcast else (0.12 + 0.08 * u[3], 0.28 + 0.1 * u[3], 0.62 + 0.12 * u[3]),
        "horizon_rgb": (0.80, 0.83, 0.87) if overcast else (0.72 + 0.05 * warm, 0.80, 0.90 - 0.08 * warm),
        "cloud_rgb": (0.86, 0.88, 0.92),
        "cloud": cloud,
        "soft": 0.6 if overcast else 0.15,
        "haze_m": float(240.0 + 500.0 * u[4]),
        "gain": float(0.82 + 0.42 * u[5]),
    }


def _dusk(u: F64) -> dict[str, Any]:
    glow = float(u[3])
    return {
        "sun": _towards(5.0 + 9.0 * u[1], u[2]),
        "sun_rgb": (3.4 - 0.8 * u[0], 1.9 - 0.5 * u[0], 0.85 - 0.2 * u[0]),
        "ambient_rgb": (0.23, 0.25, 0.36),
        "zenith_rgb": (0.10 + 0.06 * glow, 0.16 + 0.03 * glow, 0.36),
        "horizon_rgb": (0.95, 0.52 + 0.15 * glow, 0.30 + 0.2 * glow),
        "cloud_rgb": (0.80, 0.45, 0.38),
        "cloud": float(u[0]),
        "soft": 0.3,
        "haze_m": float(220.0 + 400.0 * u[4]),
        "lamp_rgb": (0.10, 0.07, 0.03),
        "lamps_on": 1.0,
        "windows": 0.25,
        "wet": 0.0,
        "gain": float(1.0 + 0.5 * u[5]),
    }


def _night(u: F64) -> dict[str, Any]:
    # From sodium to white lamps
    lamp = (1.0, 0.62 + 0.33 * u[3], 0.26 + 0.6 * u[3])
    return {
        "sun": (0.0, 0.0, 1.0),
        "sun_rgb": (0.006, 0.008, 0.012),
        "ambient_rgb": _scaled((0.028, 0.028, 0.034), 0.7 + u[1]),
        "zenith_rgb": (0.006, 0.008, 0.016),
        "horizon_rgb": (0.060, 0.046, 0.036),
        "cloud_rgb": (0.030, 0.025, 0.024),
        "cloud": float(u[0]),
        "soft": 0.6,
        "haze_m": float(300.0 + 500.0 * u[4]),
        "lamp_rgb": _scaled(lamp, 0.35 + 0.6 * u[6]),
        "lamps_on": 1.0,
        "windows": float(0.15 + 0.4 * u[7]),
        "wet": float(0.7 * (u[2] > 0.85)),
        "gain": float(1.1 + 0.8 * u[5]),
    }


def _wet(u: F64) -> dict[str, Any]:
    dark = float(0.45 + 0.55 * u[1])
    return {
        "sun": (0.0, 0.0, 1.0),
        "sun_rgb": _scaled((0.22, 0.23, 0.24), dark),
        "ambient_rgb": _scaled((0.80, 0.85, 0.92), dark),
        "zenith_rgb": _scaled((0.52, 0.56, 0.62), dark),
        "horizon_rgb": _scaled((0.80, 0.83, 0.86), dark),
        "cloud_rgb": _scaled((0.66, 0.68, 0.72), dark),
        "cloud": float(0.5 + 0.5 * u[0]),
        "soft": 0.6,
        "haze_m": float(130.0 + 250.0 * u[4]),
        "lamp_rgb": (0.05, 0.04, 0.025),
        "lamps_on": 1.0,
        "windows": 0.12,
        "wet": float(0.55 + 0.45 * u[6]),
        "gain": float(0.95 + 0.4 * u[5]),
    }
