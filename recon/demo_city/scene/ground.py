"""The baked ground of the demo city: base height, raised kerbs, colour and class, looked up by world position."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from recon.arrays import F32, F64, I32, U8
from recon.demo_city.noise_kernels import bilinear
from recon.demo_city.plan.city_plan import CityPlan
from recon.demo_city.plan.plan_kernels import Plan, signed_kerb_distance
from recon.demo_city.scene.ground_kernels import CURB_FACE_M, EDGE_STEP_M, TILE, ground_lift
from recon.demo_city.scene.paint_kernels import (
    ASPHALT,
    BLUE,
    CRACKS,
    GRAIN,
    KERB,
    PAINT,
    PALETTE_SIZE,
    PAVED_BAYS,
    SLAB,
    SLAB_M,
    SURFACE,
    TRACKS,
    VERGE,
    WALK,
    WARMTH,
    WEAR,
    paint_tiles,
)

BASE_CELL_M = 0.5  # the error of bilinear interpolation is below half a millimetre
LAND_MARGIN_M = 76.0  # of base heights around the street; they are clamped farther out
VERGE_M = 2.0  # baked beyond the sidewalks; farther out grass is computed on the fly


class Ground(NamedTuple):
    """The arrays that the kernels read; a NamedTuple, because numba accepts these."""

    base_z: F64  # (rows, columns) metres, row 0 in the south
    raster: tuple[float, float, float]  # west, south, cell of base_z
    tile_index: I32  # (rows, columns) -> tile or -1
    tile_west_m: float
    tile_south_m: float
    texel_m: float
    color: U8  # (tiles, texels, 3) square roots of albedo, mip levels one after another
    ids: U8  # (tiles, TILE, TILE) RoadClass
    edge: U8  # (tiles, TILE, TILE) distance to the kerb's foot, 128 = 0, in EDGE_STEP_M, positive behind it
    flat: U8  # (rows, columns) as tile_index x FLAT_CELLS: 0 road all around, 1 raised all around, 2 mixed
    shade: U8  # (rows, columns) share of sunlight, 255 = all
    shade_raster: tuple[float, float, float]
    glow: F32  # (rows, columns) light of the street lamps, samples as base_z's
    plan: Plan
    seed: int

    def height(self, x_m: float, y_m: float) -> float:
        """Return the height of the surface, kerbs included, at a world point."""
        return float(bilinear(self.base_z, self.raster, x_m, y_m) + ground_lift(self, x_m, y_m))


FLAT_CELLS = 16  # of `flat` along a tile's side


def build_ground(layout: CityPlan, *, texel_m: float, seed: int, rng: np.random.Generator, threads: int = 2) -> Ground:
    """Bake the ground of a plan."""
    base_z, plan = _base(layout, rng)
    west, south, _ = plan.raster
    tile_m = TILE * texel_m
    size = np.array(base_z.shape) * BASE_CELL_M
    rows, columns = (np.ceil(size / tile_m)).astype(int)
    index = _tile_index(layout, plan, tile_m, rows, columns)
    tile_rows, tile_columns = np.nonzero(index >= 0)
    corners = np.stack([west + tile_columns * tile_m, south + tile_rows * tile_m], axis=-1)
    fixed = (*layout.surfaces, palette(rng), seed % 65_536)

    def painted(part: F64) -> tuple[U8, U8, U8]:
        stencil = layout.stencil(plan, part, texel_m, TILE)
        tiles: tuple[U8, U8, U8] = paint_tiles(part, texel_m, plan, stencil, *fixed)
        return tiles

    # Every texel depends on its place only, so the partition of the tiles does not change the result.
    with ThreadPoolExecutor(max_workers=threads) as pool:
        parts = list(pool.map(painted, np.array_split(corners, 4 * threads)))
    color, ids, edge = (np.concatenate([part[i] for part in parts]) for i in range(3))
    shade_cell = 0.1
    return Ground(
        base_z=base_z,
        raster=plan.raster,
        tile_index=index,
        tile_west_m=west,
        tile_south_m=south,
        texel_m=texel_m,
        color=color,
        ids=ids,
        edge=edge,
        flat=_flat(index, edge),
        shade=np.full((int(size[0] / shade_cell) + 1, int(size[1] / shade_cell) + 1), 255, dtype=np.uint8),
        shade_raster=(west, south, shade_cell),
        glow=np.zeros(base_z.shape, dtype=np.float32),
        plan=plan,
        seed=seed % 65_536,
    )


def _base(layout: CityPlan, rng: np.random.Generator) -> tuple[F64, Plan]:
    """Return base heights and the plan with road coordinates on the same raster."""
    line = layout.line
    west, south = np.floor(line.xy.min(axis=0) - LAND_MARGIN_M)
    columns, rows = np.ceil((line.xy.max(axis=0) + LAND_MARGIN_M - (west, south)) / BASE_CELL_M).astype(int)
    x, y = np.meshgrid(west + np.arange(columns) * BASE_CELL_M, south + np.arange(rows) * BASE_CELL_M)
    s, t = line.road_coordinates(np.stack([x, y], axis=-1))
    plan = layout.kernels(np.stack([s, t], axis=-1), (float(west), float(south), BASE_CELL_M))
    return layout.land(x, y, s, t, rng), plan


def _tile_index(layout: CityPlan, plan: Plan, tile_m: float, rows: int, columns: int) -> I32:
    west, south, _ = plan.raster
    x, y = np.meshgrid(west + (np.arange(columns) + 0.5) * tile_m, south + (np.arange(rows) + 0.5) * tile_m)
    xy = np.stack([x, y], axis=-1)
    reach = tile_m * 0.75 + VERGE_M + max(layout.surfaces.walks_m)
    near = signed_kerb_distance(plan, xy.reshape(-1, 2)).reshape(rows, columns) < reach
    near &= layout.bakes(xy, tile_m)
    index = np.full((rows, columns), -1, dtype=np.int32)
    index[near] = np.arange(int(near.sum()), dtype=np.int32)
    return index


def _flat(index: I32, edge: U8) -> U8:
    """Return the cells where rays need not search for kerbs: the whole neighbourhood has one height."""
    rows, columns = index.shape
    side = TILE // FLAT_CELLS
    blocks = edge.reshape(-1, FLAT_CELLS, side, FLAT_CELLS, side)
    low = np.full((rows, FLAT_CELLS, columns, FLAT_CELLS), 255, dtype=np.uint8)
    high = low.copy()
    r, c = np.nonzero(index >= 0)
    low[r, :, c, :] = blocks.min(axis=(2, 4))
    high[r, :, c, :] = blocks.max(axis=(2, 4))
    shape = (rows * FLAT_CELLS, columns * FLAT_CELLS)
    full = 128 + round(CURB_FACE_M / EDGE_STEP_M)
    flat = np.full(shape, 2, dtype=np.uint8)
    padded_low, padded_high = np.pad(low.reshape(shape), 1, mode="edge"), np.pad(high.reshape(shape), 1, mode="edge")
    shifts: list[tuple[Any, Any]] = [
        (slice(i, i + shape[0]), slice(j, j + shape[1])) for i in range(3) for j in range(3)
    ]
    flat[np.max([padded_high[a] for a in shifts], axis=0) <= 128] = 0
    flat[np.min([padded_low[a] for a in shifts], axis=0) >= full] = 1
    return flat


def palette(rng: np.random.Generator) -> F64:
    """Return the tones (PALETTE_SIZE,) of a seed's surfaces, in the order of the paint kernels."""
    values = np.zeros(PALETTE_SIZE)
    concrete = rng.random() < 0.15
    values[ASPHALT] = rng.uniform(0.22, 0.32) if concrete else rng.uniform(0.07, 0.19)
    values[BLUE], values[WARMTH] = rng.uniform(0.92, 1.08), rng.uniform(0.98, 1.05)
    values[KERB], values[SLAB] = rng.uniform(0.22, 0.46), rng.uniform(0.2, 0.38)
    values[SLAB_M] = rng.choice([0.3, 0.4, 0.5, 0.75])
    values[PAINT], values[WEAR] = rng.uniform(0.5, 0.76), rng.uniform(0.1, 0.95)
    values[CRACKS], values[GRAIN] = rng.uniform(0.45, 0.85), rng.uniform(0.12, 0.4)
    values[SURFACE] = float(concrete)
    values[PAVED_BAYS] = rng.choice([0.0, 0.0, 1.0, 2.0, -1.0])  # -1: bike strips are red instead
    values[VERGE] = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0])
    values[TRACKS] = rng.uniform(0.0, 0.16)
    values[WALK] = rng.choice([0.0, 0.0, 1.0, 2.0])
    return values
