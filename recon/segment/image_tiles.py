"""Overlapping tiles of an image that is much larger than a net's working size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F32, U8


@dataclass(frozen=True, slots=True)
class ImageTile:
    """A window of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Return its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def tiles_of(width: int, height: int, tile_px: tuple[int, int], overlap_px: int) -> list[ImageTile]:
    """Return windows of at most `tile_px` (width, height) that cover an image and overlap by at least `overlap_px`.

    Windows have the same size, so that they may run in one batch; the steps between them are even.
    """
    columns = _starts(width, min(tile_px[0], width), overlap_px)
    rows = _starts(height, min(tile_px[1], height), overlap_px)
    size = min(tile_px[0], width), min(tile_px[1], height)
    return [ImageTile(left, top, *size) for top in rows for left in columns]


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    room = length - tile
    if room == 0:
        return [0]
    count = int(np.ceil(room / max(tile - overlap, 1)))
    return [round(room * i / count) for i in range(count + 1)]


def cut(image: U8, tile: ImageTile) -> U8:
    """Return the tile (height, width, 3) of an image."""
    return image[tile.window]


def ramp(tile: ImageTile, overlap_px: int) -> F32:
    """Return the weight (height, width) of a tile: it falls towards the border, where context is missing."""

    def side(length: int) -> F32:
        at = np.arange(length, dtype=np.float32) + 0.5
        rise: F32 = np.minimum(np.minimum(at, length - at) / max(overlap_px, 1), 1.0).astype(np.float32)
        return rise

    weight: F32 = np.outer(side(tile.height), side(tile.width)).astype(np.float32)
    return weight
