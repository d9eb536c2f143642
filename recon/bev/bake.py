"""`bake`: from a RoadSurface to the BevMap, block by block."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import F32, I64, AnyArray
from recon.bev import bake_kernels
from recon.bev.bev_map import BEV_BLOCK_CELLS, LAYERS, BevBlocks, BevMap
from recon.config import BakeConfig
from recon.grid import Grid
from recon.memmap import MemmapBuilder
from recon.progress import Tick, silent
from recon.render.surfels import REACH_CELLS
from recon.surface.cells import BLOCK_CELLS, Cells, block_order
from recon.surface.road_surface import RoadSurface

RELEASE_EVERY = 64  # blocks


def bake(surface: RoadSurface, config: BakeConfig, tick: Tick = silent) -> BevMap:
    """Return the dense raster; raises ConfigInvalid when the site's bounding box is too large for one."""
    return bake_blocks(surface, config, tick).whole()


def bake_blocks(
    surface: RoadSurface, config: BakeConfig, tick: Tick = silent, *, scratch: Path | None = None
) -> BevBlocks:
    """Return colour, class probability, height and counts at the centres of a raster's cells.

    A raster cell is seen when its centre lies in the cell of a surfel; its counts are that surfel's. Memory does not
    grow with the site: the blocks lie in files in `scratch`.
    """
    surface, cells = _in_blocks(surface)
    grid = Grid.around(cells.extent_m(), margin_m=2 * surface.grid.cell_m, cell_m=config.cell_m)
    layers = {
        name: MemmapBuilder(kind, (BEV_BLOCK_CELLS, BEV_BLOCK_CELLS, *shape), scratch)
        for name, (kind, shape) in LAYERS.items()
    }
    at = []
    blocks = _blocks(cells, grid)
    for done, (row, column) in enumerate(blocks.tolist()):
        tick(done, len(blocks), "blocks")
        block = _block(surface, cells, grid, row * BEV_BLOCK_CELLS, column * BEV_BLOCK_CELLS)
        if block["views"].any():
            at.append((row, column))
            for name, layer in layers.items():
                layer.append(block[name][None])
        if done % RELEASE_EVERY == 0:
            surface.release()
    arrays: dict[str, Any] = {name: layer.finish() for name, layer in layers.items()}
    return BevBlocks(grid=grid, at=np.array(at, dtype=np.int64).reshape(-1, 2), **arrays)


def _in_blocks(surface: RoadSurface) -> tuple[RoadSurface, Cells]:
    """Return the surface with the surfels of each block of cells contiguous, as a fit leaves them."""
    cells = Cells.stored(surface.grid, surface.row, surface.column)
    if cells is None:
        order = block_order(surface.row, surface.column)
        arrays: dict[str, Any] = {name: array[order] for name, array in surface.arrays().items()}
        surface = replace(surface, **arrays)
        cells = Cells.of(surface.grid, surface.row, surface.column)
    return surface, cells


def _blocks(cells: Cells, grid: Grid) -> I64:
    """Return the (row, column) of the raster's blocks that overlap a block of surfels, ascending."""
    corners = np.array(sorted(cells.blocks), dtype=np.float64)[:, ::-1] * BLOCK_CELLS
    first, last = (grid.to_px(cells.grid.to_m(corner)) for corner in (corners, corners + BLOCK_CELLS))
    low, high = (np.floor(px[:, ::-1] / BEV_BLOCK_CELLS).astype(np.int64) for px in (first, last))
    span = np.arange(int((high - low).max(initial=0)) + 1)
    every = low[:, None] + np.stack(np.meshgrid(span, span, indexing="ij"), axis=-1).reshape(-1, 2)
    every = every[np.all(every <= high[:, None], axis=2)]
    inside = np.all((every >= 0) & (every * BEV_BLOCK_CELLS < grid.shape), axis=1)
    return np.unique(every[inside], axis=0)


def _block(surface: RoadSurface, cells: Cells, grid: Grid, top: int, left: int) -> dict[str, AnyArray]:
    """Return every layer of one block (BEV_BLOCK_CELLS, BEV_BLOCK_CELLS, ...), zero beyond the raster's edge."""
    columns = np.arange(left, min(left + BEV_BLOCK_CELLS, grid.width))
    rows = np.arange(top, min(top + BEV_BLOCK_CELLS, grid.height))
    c, r = np.meshgrid(columns, rows)
    xy = grid.to_m(np.stack([c + 0.5, r + 0.5], axis=-1)).reshape(-1, 2)
    margin = (REACH_CELLS + 1) * surface.grid.cell_m
    window = cells.window(xy.min(axis=0) - margin, xy.max(axis=0) + margin)
    i, local = window.ids, xy - window.corner_m
    features = np.concatenate([surface.rgb[i], _softmax(surface.class_logits[i])], axis=1)
    opacity, inv_scale = 1.0 / (1.0 + np.exp(-surface.opacity[i])), np.exp(-surface.log_scale[i])
    count = len(xy)
    out = np.zeros((count, features.shape[1]), dtype=np.float32)
    height, weight, own = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.int32)
    bake_kernels.evaluate_from_above(
        window.index, surface.z[i], surface.tilt[i], inv_scale, opacity, features, surface.grid.cell_m,
        local[:, 0], local[:, 1], REACH_CELLS, out, height, weight, own,
    )  # fmt: skip
    seen = own >= 0
    at, surfel = ((r.reshape(-1) - top)[seen], (c.reshape(-1) - left)[seen]), i[own[seen]]
    layers = {
        name: np.zeros((BEV_BLOCK_CELLS, BEV_BLOCK_CELLS, *shape), kind) for name, (kind, shape) in LAYERS.items()
    }
    layers["rgb"][at] = np.round(out[seen, :3] * 255).clip(0, 255)
    layers["class_probability"][at] = out[seen, 3:]
    layers["height_m"][at] = height[seen]
    layers["views"][at] = surface.views[surfel]
    layers["trips"][at] = surface.trips[surfel]
    layers["shift_m"][at] = surface.shift_m[surfel]
    return layers


def _softmax(logits: F32) -> F32:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
