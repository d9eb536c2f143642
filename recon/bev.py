"""The BevMap artifact and `bake`: from a RoadSurface to a raster of the site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from recon.artifact import Parts
from recon.classes import CLASS_COUNT
from recon.grid import Grid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BevMap:
    """A bird's-eye raster of one site. A cell with `views` 0 was never seen: its other values mean nothing."""

    kind: ClassVar[str] = "BevMap"
    schema: ClassVar[int] = 2

    grid: Grid
    rgb: npt.NDArray[np.uint8]  # (H, W, 3)
    class_probability: npt.NDArray[np.float16]  # (H, W, CLASS_COUNT), sums to 1 where seen, 0 elsewhere
    height_m: npt.NDArray[np.float32]  # (H, W) world z
    views: npt.NDArray[np.uint16]  # (H, W) images that saw the cell
    trips: npt.NDArray[np.uint64]  # (H, W) bit t: trip t saw the cell

    def __post_init__(self) -> None:
        shape = self.grid.shape
        expected = {"rgb": (*shape, 3), "class_probability": (*shape, CLASS_COUNT), "height_m": shape}
        for name, wanted in {**expected, "views": shape, "trips": shape}.items():
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name}: expected shape {wanted}, got {getattr(self, name).shape}")

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Return (H, W) whether any image saw the cell."""
        return self.views > 0

    def to_parts(self) -> Parts:
        """Take the map apart."""
        names = ("rgb", "class_probability", "height_m", "views", "trips")
        return Parts(meta={"grid": self.grid.record()}, arrays={name: getattr(self, name) for name in names})

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Put the map together again."""
        arrays: dict[str, Any] = parts.arrays
        return cls(grid=Grid(**parts.meta["grid"]), **arrays)
