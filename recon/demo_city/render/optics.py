"""The optics of a drive's cameras, each slightly different."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recon.demo_city.config import CityConfig
from recon.demo_city.scene.light import Light

DARK = 0.1  # ambient light below which cameras expose longer and amplify more


class Optics(NamedTuple):
    """The optical and electronic properties of one camera in one drive."""

    exposure: float = 0.0  # observed = exp(exposure) * colour, on the encoded 0..1 colour of the image
    vignette: float = 0.0  # share of light lost in the corners
    blur_px: float = 0.0  # standard deviation
    smear_px: float = 0.0  # length of the motion blur along image rows
    bloom: float = 0.0  # share of bright light that spreads
    noise: float = 0.0  # grey levels of 255
    gain: float = 1.0


def optics_of(config: CityConfig, light: Light, number: int) -> Optics:
    """Return the optics of a camera; they depend on seed, trip and camera."""
    rng = np.random.default_rng((config.seed, config.trip, number, 77))
    exposure, vignette, blur, smear = (
        rng.normal(0.0, 0.06),
        rng.uniform(0.05, 0.4),
        rng.uniform(0.15, 0.85),
        rng.random(),
    )
    dark = light.ambient_rgb[1] < DARK
    scale = config.width_px / 800.0
    sideways = abs(np.sin(np.radians(config.cameras[number].yaw_deg)))
    length = (1.0 + smear * sideways * (7.0 if dark else 2.5)) * scale
    return Optics(
        exposure=config.cameras[number].exposure + config.optics * float(exposure),
        vignette=config.optics * float(vignette),
        blur_px=config.optics * float(blur) * scale * (1.25 if dark else 1.0),
        smear_px=config.optics * float(length),
        bloom=config.optics * (0.5 if light.lamps_on else 0.0),
        noise=config.noise * (3.2 if dark else (1.6 if light.lamps_on else 1.0)),
        gain=light.gain,
    )
