"""One surface of the surfaces of tiles: across a border, one tile's values fade into the other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import I64, AnyArray
from recon.errors import NoRoadFound
from recon.fit.prepare import PreparedTile
from recon.fit.tiles import Tile
from recon.memmap import MemmapBuilder
from recon.surface.cells import BLOCK_CELLS
from recon.surface.road_surface import RoadSurface
from recon.views.views import Views

BLENDED = ("z", "tilt", "log_scale", "opacity", "rgb", "class_logits")
WEIGHT = "blend_weight"  # the name of a tile's weights beside the arrays of its surface
CHUNK = 1 << 18  # cells


class Stitcher:
    """Collects the tiles' surfaces; cells near a border wait until the neighbours' values are there."""

    def __init__(self, scratch: Path | None) -> None:
        self._scratch = scratch
        self._inner: dict[str, MemmapBuilder] = {}
        self._border: dict[str, MemmapBuilder] = {}
        self._first: RoadSurface | None = None
        self._exposures: list[tuple[int, dict[str, tuple[float, float]]]] = []
        self._tiles: list[dict[str, Any]] = []
        self._seen = 0

    def leave_out(self, tile: PreparedTile, views: Views) -> None:
        """Record why a tile stays empty."""
        why = "no road among the cells seen" if len(tile.cells) else "no valid pixel shows its ground"
        why = why if len(views) else "no image shows its ground"
        self._seen += len(tile.cells)
        self._tiles.append({"cells": 0, "views": len(views), "empty": why})

    def add(self, surface: RoadSurface, tile: Tile, views: Views) -> None:
        """Add a tile's surface."""
        own, weight = tile.owns(surface.row, surface.column), tile.blend_weight(surface.row, surface.column)
        block = surface.row.astype(np.int64) // BLOCK_CELLS * surface.grid.width + surface.column // BLOCK_CELLS
        border = np.isin(block, block[weight < 1.0])  # whole blocks, because bake needs their cells to be contiguous
        inner = {name: array[~border] for name, array in surface.arrays().items()}
        self._append(self._inner, inner)
        # At the outer corner of the halo the weight is 0. Where no other tile covers such a cell, its sum would be 0.
        weighted = border & (weight > 0.0)
        self._append(self._border, {n: a[weighted] for n, a in surface.arrays().items()} | {WEIGHT: weight[weighted]})
        self._first = self._first or surface
        self._exposures.append((len(views), surface.exposure))
        self._seen += int(own.sum())
        self._tiles.append({"cells": int(own.sum()), "views": len(views), **surface.report})

    def _append(self, target: dict[str, MemmapBuilder], arrays: dict[str, AnyArray]) -> None:
        for name, array in arrays.items():
            if name not in target:
                target[name] = MemmapBuilder(array.dtype, array.shape[1:], self._scratch)
            target[name].append(array)

    def surface(self, where: str) -> RoadSurface:
        """Return the surface of all tiles; raises NoRoadFound when every tile stayed empty."""
        if self._first is None:
            hint = "Check that the cameras see the ground, the calibration, and the segmentation's class map."
            raise NoRoadFound(where=f"{where}, {self._seen} cells seen", hint=hint)
        for blended in _blended({name: growing.finish() for name, growing in self._border.items()}):
            self._append(self._inner, blended)
        arrays: dict[str, Any] = {name: growing.finish() for name, growing in self._inner.items()}
        report = {**merged(self._tiles), "tiles": self._tiles}
        return RoadSurface(grid=self._first.grid, **arrays, exposure=_mean(self._exposures), report=report)


def _blended(border: dict[str, AnyArray]) -> Iterator[dict[str, AnyArray]]:
    """Yield the cells near borders in pieces: weighted means of the values, counts of the weightiest tile."""
    row, column = (np.asarray(border[name]) for name in ("row", "column"))
    order = np.lexsort((-border[WEIGHT], column, row, column // BLOCK_CELLS, row // BLOCK_CELLS))
    fresh = np.flatnonzero(np.r_[True, (np.diff(row[order]) != 0) | (np.diff(column[order]) != 0)])
    for part in np.array_split(fresh, max(1, len(fresh) // CHUNK)) if len(fresh) else []:
        stop = fresh[np.searchsorted(fresh, part[-1]) + 1] if part[-1] < fresh[-1] else len(order)
        rows, starts = order[part[0] : stop], part - part[0]
        weight = border[WEIGHT][rows]
        total = np.add.reduceat(weight, starts)
        piece = {}
        for name, array in border.items():
            values = array[rows]
            if name in BLENDED:
                weights = weight.reshape(-1, *[1] * (values.ndim - 1))
                mean = np.add.reduceat(values * weights, starts) / total.reshape(weights[starts].shape)
                piece[name] = mean.astype(array.dtype)
            elif name != WEIGHT:
                piece[name] = values[starts]
        yield {name: array[weight[starts] >= 0.5] for name, array in piece.items()}


def merged(tiles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one report of the tiles' reports: a term is live if it is in any tile, its value the mean over images."""
    fitted = [tile for tile in tiles if "losses" in tile]
    losses: dict[str, dict[str, Any]] = {}
    for term, first in fitted[0]["losses"].items():
        live = [tile for tile in fitted if tile["losses"][term]["live"]]
        images = [tile["views"] for tile in live]
        mean = {
            key: round(float(np.average([t["losses"][term][key] for t in live], weights=images)), 6) if live else 0.0
            for key, value in first.items()
            if key not in ("weight", "live") and isinstance(value, float | int)
        }
        losses[term] = {"weight": first["weight"], "live": bool(live), **mean}
    measured = {
        name: sum(tile.get(name, 0) for tile in fitted) for name in ("lidar_cells", "stereo_points", "withheld_m2")
    }
    return {"losses": losses, **measured}


def _mean(exposures: Sequence[tuple[int, dict[str, tuple[float, float]]]]) -> dict[str, tuple[float, float]]:
    """Return every camera's exposure, averaged over the tiles with their images as weights."""
    weights: I64 = np.array([count for count, _ in exposures])
    result = {}
    for camera in exposures[0][1]:
        a, b = np.average([pairs[camera] for _, pairs in exposures], axis=0, weights=weights).tolist()
        result[camera] = (float(a), float(b))
    return result
