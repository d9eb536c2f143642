"""The BevMap artifact: the bird's-eye raster of a site, dense in memory, blocks with content on disk."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from recon.arrays import F16, F32, I64, U8, U16, U64, AnyArray, Bool
from recon.artifact import Parts
from recon.classes import CLASS_COUNT
from recon.errors import ConfigInvalid
from recon.grid import Grid

BEV_BLOCK_CELLS = 64
MOST_CELLS = 60_000_000  # of a dense raster: 2.1 GB, about 770 m x 770 m at 0.1 m
LAYERS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "rgb": (np.uint8, (3,)),
    "class_probability": (np.float16, (CLASS_COUNT,)),
    "height_m": (np.float32, ()),
    "views": (np.uint16, ()),
    "trips": (np.uint64, ()),
    "shift_m": (np.float16, (2,)),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BevMap:
    """A bird's-eye raster of a site or of a part of one. A cell with `views` 0 was never seen and holds zeros only."""

    kind: ClassVar[str] = "BevMap"
    schema: ClassVar[int] = 4

    grid: Grid
    rgb: U8  # (H, W, 3)
    class_probability: F16  # (H, W, CLASS_COUNT), sums to 1 where seen, 0 elsewhere
    height_m: F32  # (H, W) world z
    views: U16  # (H, W) images that saw the cell
    trips: U64  # (H, W) bit t: trip t saw the cell
    # (H, W, 2) east, north: how far its looks lie aside if the height is wrong by its standard deviation; 0 by default
    shift_m: F16 = field(default_factory=lambda: np.zeros((0, 0, 2), np.float16))

    def __post_init__(self) -> None:
        if not self.shift_m.size:
            object.__setattr__(self, "shift_m", np.zeros((*self.grid.shape, 2), np.float16))
        for name, (_, channels) in LAYERS.items():
            wanted = (*self.grid.shape, *channels)
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name}: expected shape {wanted}, got {getattr(self, name).shape}")

    @property
    def seen(self) -> Bool:
        """Return (H, W) whether any image saw the cell."""
        return self.views > 0

    def to_parts(self) -> Parts:
        """Return metadata and arrays."""
        return BevBlocks.of(self).to_parts()

    @classmethod
    def from_parts(cls, parts: Parts) -> BevMap:
        """Build the dense map; raises ConfigInvalid when it is too large to be dense."""
        return BevBlocks.from_parts(parts).whole()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BevBlocks:
    """The same artifact as the blocks of BEV_BLOCK_CELLS squared that hold anything, so memory grows with the path.

    Its arrays may lie in files (recon/memmap.py); `window` makes a part of it dense.
    """

    kind: ClassVar[str] = BevMap.kind
    schema: ClassVar[int] = BevMap.schema

    grid: Grid  # of the whole site
    at: I64  # (B, 2) block row and column, ascending
    rgb: U8  # (B, BEV_BLOCK_CELLS, BEV_BLOCK_CELLS, 3), and so on as in BevMap
    class_probability: F16
    height_m: F32
    views: U16
    trips: U64
    shift_m: F16

    def __post_init__(self) -> None:
        for name, (_, channels) in LAYERS.items():
            wanted = (len(self.at), BEV_BLOCK_CELLS, BEV_BLOCK_CELLS, *channels)
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name}: expected shape {wanted}, got {getattr(self, name).shape}")

    @classmethod
    def of(cls, bev: BevMap) -> Self:
        """Return the blocks of a dense map."""
        rows, columns = (-(-size // BEV_BLOCK_CELLS) for size in bev.grid.shape)
        padding = [(0, rows * BEV_BLOCK_CELLS - bev.grid.height), (0, columns * BEV_BLOCK_CELLS - bev.grid.width)]

        def blocks(layer: AnyArray) -> AnyArray:
            padded = np.pad(layer, padding + [(0, 0)] * (layer.ndim - 2))
            tiled = padded.reshape(rows, BEV_BLOCK_CELLS, columns, BEV_BLOCK_CELLS, *layer.shape[2:])
            return tiled.swapaxes(1, 2)

        at = np.argwhere(blocks(bev.views).any(axis=(2, 3)))
        layers = {name: blocks(getattr(bev, name))[at[:, 0], at[:, 1]] for name in LAYERS}
        return cls(grid=bev.grid, at=at, **layers)

    def window(self, low: tuple[int, int], high: tuple[int, int]) -> BevMap:
        """Return the dense map of the rows and columns from `low` to `high` (exclusive), clipped to the grid."""
        top, left = (min(max(v, 0), size - 1) for v, size in zip(low, self.grid.shape, strict=True))
        bottom, right = (min(max(v, a + 1), s) for v, a, s in zip(high, (top, left), self.grid.shape, strict=True))
        grid = self.grid.part(top, left, bottom - top, right - left)
        dense = {name: np.zeros((*grid.shape, *channels), kind) for name, (kind, channels) in LAYERS.items()}
        corner = self.at * BEV_BLOCK_CELLS
        meets = np.all((corner < (bottom, right)) & (corner + BEV_BLOCK_CELLS > (top, left)), axis=1)
        for number in np.flatnonzero(meets).tolist():
            row, column = corner[number].tolist()
            r0, r1 = max(row, top), min(row + BEV_BLOCK_CELLS, bottom)
            c0, c1 = max(column, left), min(column + BEV_BLOCK_CELLS, right)
            for name, layer in dense.items():
                block = getattr(self, name)[number]
                layer[r0 - top : r1 - top, c0 - left : c1 - left] = block[
                    r0 - row : r1 - row, c0 - column : c1 - column
                ]
        return BevMap(grid=grid, **dense)

    def whole(self) -> BevMap:
        """Return the dense map of the site; raises ConfigInvalid when it has more than MOST_CELLS."""
        if self.grid.width * self.grid.height > MOST_CELLS:
            message = f"the site's raster has {self.grid.width} x {self.grid.height} cells, at most {MOST_CELLS} fit"
            raise ConfigInvalid(message, hint="Split the drive into shorter ones, or use a coarser bake.cell_m.")
        return self.window((0, 0), self.grid.shape)

    def coarser(self, most_cells: int) -> BevMap:
        """Return a dense map of the site with at most `most_cells` cells, which are larger by a power of 2 if need be.

        Larger cells hold the mean of what was seen in them, the largest count of views, and all trips.
        """
        factor = 1
        while self.grid.width * self.grid.height > most_cells * factor**2 and factor < BEV_BLOCK_CELLS:
            factor *= 2
        if factor == 1:
            return self.whole()
        side = BEV_BLOCK_CELLS // factor
        height, width = (-(-size // BEV_BLOCK_CELLS) * side for size in self.grid.shape)
        grid = replace(self.grid, cell_m=self.grid.cell_m * factor, width=width, height=height)
        dense = {name: np.zeros((height, width, *channels), kind) for name, (kind, channels) in LAYERS.items()}
        for number, (row, column) in enumerate((self.at * side).tolist()):
            place = np.s_[row : row + side, column : column + side]

            def groups(layer: AnyArray) -> AnyArray:
                grouped = layer.reshape(side, factor, side, factor, *layer.shape[2:]).swapaxes(1, 2)
                return grouped.reshape(side, side, factor**2, *layer.shape[2:])

            views = groups(self.views[number])
            seen = (views > 0)[..., None]
            count = np.maximum(seen.sum(axis=2), 1)
            for name in ("rgb", "class_probability", "shift_m"):
                total = (groups(getattr(self, name)[number]) * seen).sum(axis=2, dtype=np.float32)
                dense[name][place] = total / count
            dense["height_m"][place] = (groups(self.height_m[number]) * seen[..., 0]).sum(axis=2) / count[..., 0]
            dense["views"][place] = views.max(axis=2)
            dense["trips"][place] = np.bitwise_or.reduce(groups(self.trips[number]), axis=2)
        return BevMap(grid=grid, **dense)

    def to_parts(self) -> Parts:
        """Return metadata and arrays."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "grid"}
        return Parts(meta={"grid": self.grid.record()}, arrays=arrays)

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Build the map from metadata and arrays."""
        arrays: dict[str, Any] = dict(parts.arrays)
        # Schemas 2 and 3 did not know it.
        arrays.setdefault("shift_m", np.zeros((*arrays["views"].shape, 2), np.float16))
        grid = Grid(**parts.meta["grid"])
        if "at" not in arrays:  # schema 2 was dense
            return cls.of(BevMap(grid=grid, **arrays))
        return cls(grid=grid, **arrays)
