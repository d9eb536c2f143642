"""The light of a drive: where the sun stands and what colours it and the sky give."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np


class Light(NamedTuple):
    """Directions and linear colours that the shading kernels read."""

    sun: tuple[float, float, float]  # unit vector towards the sun
    sun_rgb: tuple[float, float, float]
    ambient_rgb: tuple[float, float, float]
    zenith_rgb: tuple[float, float, float]
    horizon_rgb: tuple[float, float, float]
    cloud: float  # 0 clear .. 1 mostly cloudy
    gain: float  # from radiance to the encoded image
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Self:
        """Return a bright day; time of day and clouds vary with the seed."""
        elevation = np.radians(rng.uniform(32.0, 58.0))
        azimuth = rng.uniform(0.0, 2 * np.pi)
        warm = float(np.clip((np.radians(58.0) - elevation) / np.radians(30.0), 0.0, 1.0))
        cloud = float(rng.uniform(0.2, 0.9))
        sun = 2.9 - 0.7 * cloud
        return cls(
            sun=(
                float(np.cos(elevation) * np.cos(azimuth)),
                float(np.cos(elevation) * np.sin(azimuth)),
                float(np.sin(elevation)),
            ),
            sun_rgb=(sun, sun * (0.96 - 0.06 * warm), sun * (0.88 - 0.16 * warm)),
            ambient_rgb=(0.38 + 0.12 * cloud, 0.45 + 0.10 * cloud, 0.57 + 0.04 * cloud),
            zenith_rgb=(0.16 + 0.05 * cloud, 0.33 + 0.05 * cloud, 0.70),
            horizon_rgb=(0.72 + 0.05 * warm, 0.80, 0.90 - 0.05 * warm),
            cloud=cloud,
            gain=float(rng.uniform(0.95, 1.1)),
            seed=int(rng.integers(1 << 15)),
        )
