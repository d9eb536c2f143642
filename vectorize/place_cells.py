"""The size of the cells that are places. Apart from the rest, since snapshots are listed without an engine."""

from __future__ import annotations

WGS84 = "wgs84"  # frame of the cells of drives with an origin; the others count in a frame of their own
PLACE_DEG = 0.001  # about 111 m north to south
PLACE_M = 100.0
