"""Where on the Earth a town of the demo city lies: each one at a place of its own.

Places are told apart by latitude and longitude (`vectorize.labels.sample.place_of`), so towns at one spot would look
like one place driven twice, and a split of drives by place would put different towns together.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from recon.demo_city.config import CityConfig
from recon.geo_origin import GeoOrigin

# The open Atlantic west of Europe, so that the GeoJSON of the demo is not mistaken for real streets.
SOUTH_DEG, WEST_DEG = 44.0, -30.0
APART_DEG = 0.05  # more than 3 km, and a drive is 1 km long at most
COLUMNS, ROWS = 200, 100
MAPPED_SOUTH_DEG = 50.0  # towns on the streets of a real log lie north of those of a seed alone


def town_origin(config: CityConfig) -> GeoOrigin:
    """Return the origin of the town's world frame; trips through one town have the same.

    Towns share a place only if their seeds differ by a multiple of 20,000.
    """
    number, south_deg = config.seed, SOUTH_DEG
    if config.map_log:
        number, south_deg = zlib.crc32(Path(config.map_log).name.encode()), MAPPED_SOUTH_DEG
    row, column = divmod(number % (COLUMNS * ROWS), COLUMNS)
    return GeoOrigin(
        latitude_deg=round(south_deg + row * APART_DEG, 6),
        longitude_deg=round(WEST_DEG + column * APART_DEG, 6),
        altitude_m=0.0,
    )
