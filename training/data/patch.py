"""The patch that a model sees, and the unit coordinates in which it speaks: the one owner of metres <-> units.

Units: column = 0.5 - y / width (0 is farthest left), row = 0.5 - x / length (0 is farthest forward), x and y of the ego
frame. So a raster of the patch of any resolution, `known` masks included, holds the unit point (c, r) in the cell
(floor(r h), floor(c w)), and `grid_sample(align_corners=False)` reads it at 2 (c, r) - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F64
from recon.config import require


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSize:
    """Length along the vehicle and width across it, in metres, centred on the ego frame."""

    length_m: float = 60.0
    width_m: float = 30.0

    def __post_init__(self) -> None:
        require(1.0 <= self.length_m <= 1000.0, "patch.length_m must lie in 1..1000 m")
        require(1.0 <= self.width_m <= 1000.0, "patch.width_m must lie in 1..1000 m")

    def to_unit(self, ego_m: F64) -> F64:
        """Return unit coordinates (N, 2), column and row, of ego points (N, 2 or more) in metres."""
        result: F64 = np.stack([0.5 - ego_m[..., 1] / self.width_m, 0.5 - ego_m[..., 0] / self.length_m], axis=-1)
        return result

    def to_ego(self, unit: F64) -> F64:
        """Return ego points (N, 2), x forward and y left in metres, of unit coordinates (N, 2)."""
        result: F64 = np.stack([(0.5 - unit[..., 1]) * self.length_m, (0.5 - unit[..., 0]) * self.width_m], axis=-1)
        return result

    def cell_centres(self, shape: tuple[int, int]) -> F64:
        """Return the ego points (h, w, 2) of the cells of a raster (h, w) of the patch."""
        rows, columns = (np.arange(count) + 0.5 for count in shape)
        unit = np.stack(np.meshgrid(columns / shape[1], rows / shape[0]), axis=-1)
        return self.to_ego(unit)
