"""`bake`: from a RoadSurface to the BevMap, tile by tile."""

from __future__ import annotations

import numpy as np

from recon import bake_kernels
from recon.bev import BevMap
from recon.cells import TILE_CELLS, Cells
from recon.classes import CLASS_COUNT
from recon.config import BakeConfig
from recon.errors import ConfigInvalid
from recon.grid import Grid
from recon.progress import Tick, silent
from recon.render.surfels import REACH_CELLS
from recon.surface import F32, RoadSurface

MAX_CELLS = 60_000_000  # 2.1 GB of rasters: about 770 m x 770 m at 0.1 m


def _softmax(logits: F32) -> F32:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def bake(surface: RoadSurface, config: BakeConfig, tick: Tick = silent) -> BevMap:
    """Return colour, class probability, height and counts at the centres of a raster's cells.

    A raster cell is seen when its centre lies in the cell of a surfel; its counts are that surfel's.
    Raises ConfigInvalid when the site's bounding box is too large for one raster.
    """
    cells = Cells.of(surface.grid, surface.row, surface.column)
    order = np.lexsort((surface.column, surface.row, surface.column // TILE_CELLS, surface.row // TILE_CELLS))
    features = np.concatenate([surface.rgb, _softmax(surface.class_logits)], axis=1)[order]
    inv_scale = np.exp(-surface.log_scale[order])
    opacity = 1.0 / (1.0 + np.exp(-surface.opacity[order]))
    z, tilt, views, trips = surface.z[order], surface.tilt[order], surface.views[order], surface.trips[order]

    grid = Grid.around(cells.centres(), margin_m=2 * surface.grid.cell_m, cell_m=config.cell_m)
    if grid.width * grid.height > MAX_CELLS:
        message = f"the site's raster would have {grid.width} x {grid.height} cells, at most {MAX_CELLS} fit in memory"
        raise ConfigInvalid(message, hint="Split the drive into shorter ones, or use a coarser bake.cell_m.")
    rgb = np.zeros((*grid.shape, 3), dtype=np.uint8)
    probability = np.zeros((*grid.shape, CLASS_COUNT), dtype=np.float16)
    height = np.zeros(grid.shape, dtype=np.float32)
    seen_views, seen_trips = np.zeros(grid.shape, np.uint16), np.zeros(grid.shape, np.uint64)
    tile_m = TILE_CELLS * surface.grid.cell_m
    for done, (tile_row, tile_column) in enumerate(cells.tiles):
        tick(done, len(cells.tiles), "tiles")
        north_west = surface.grid.to_m(np.array([tile_column, tile_row], dtype=np.float64) * TILE_CELLS)
        first, last = np.round(grid.to_px(np.stack([north_west, north_west + [tile_m, -tile_m]]))).astype(int)
        columns = np.arange(max(first[0], 0), min(last[0], grid.width))
        rows = np.arange(max(first[1], 0), min(last[1], grid.height))
        if not len(rows) or not len(columns):
            continue
        c, r = np.meshgrid(columns, rows)
        xy = grid.to_m(np.stack([c + 0.5, r + 0.5], axis=-1)).reshape(-1, 2)
        margin = (REACH_CELLS + 1) * surface.grid.cell_m
        window = cells.window(xy.min(axis=0) - margin, xy.max(axis=0) + margin)
        count = len(xy)
        out = np.zeros((count, features.shape[1]), dtype=np.float32)
        out_z, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        own = np.zeros(count, np.int32)
        i = window.ids
        local = xy - window.corner_m
        bake_kernels.look_down(
            window.index, z[i], tilt[i], inv_scale[i], opacity[i], features[i], surface.grid.cell_m,
            local[:, 0], local[:, 1], REACH_CELLS, out, out_z, weight, own,
        )  # fmt: skip
        seen = own >= 0
        at = (r.reshape(-1)[seen], c.reshape(-1)[seen])
        rgb[at] = np.round(out[seen, :3] * 255).clip(0, 255)
        probability[at] = out[seen, 3:]
        height[at] = out_z[seen]
        seen_views[at] = views[i[own[seen]]]
        seen_trips[at] = trips[i[own[seen]]]
    return BevMap(
        grid=grid, rgb=rgb, class_probability=probability, height_m=height, views=seen_views, trips=seen_trips
    )
