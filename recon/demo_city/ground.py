"""The baked ground of the demo city: base height, raised kerbs, colour and class, looked up by world position."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from recon.demo_city.ground_kernels import CURB_FACE_M, EDGE_STEP_M, TILE, bilinear, ground_lift, paint_tiles
from recon.demo_city.street import Street

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

BASE_CELL_M = 0.5  # bilinear between samples this far apart errs by less than half a millimetre
LAND_MARGIN_M = 70.0  # base height beyond the street; farther out it is clamped
VERGE_M = 2.0  # baked beyond the sidewalks; farther out grass is computed on the fly


class Ground(NamedTuple):
    """Arrays the kernels look up; a NamedTuple because numba passes those as they are."""

    base_z: F64  # (rows, columns) metres, row 0 in the south
    raster: tuple[float, float, float]  # west, south, cell of base_z
    tile_index: npt.NDArray[np.int32]  # (rows, columns) -> tile or -1
    tile_west_m: float
    tile_south_m: float
    texel_m: float
    color: U8  # (tiles, texels, 3) square roots of albedo, mip levels one after another
    ids: U8  # (tiles, TILE, TILE) RoadClass
    edge: U8  # (tiles, TILE, TILE) distance to the kerb's foot, 128 = 0, in EDGE_STEP_M, positive behind it
    flat: U8  # (rows, columns) as tile_index x FLAT_CELLS: 0 road all around, 1 raised all around, 2 mixed
    shade: U8  # (rows, columns) share of sunlight, 255 = all
    shade_raster: tuple[float, float, float]
    seed: int

    def height(self, x_m: float, y_m: float) -> float:
        """Return the height of the surface, kerbs included, at a world point."""
        return float(bilinear(self.base_z, self.raster, x_m, y_m) + ground_lift(self, x_m, y_m))


FLAT_CELLS = 16  # of `flat` along a tile's side


def build_ground(street: Street, *, texel_m: float, seed: int, rng: np.random.Generator) -> Ground:
    """Bake the ground around a street."""
    base_z, raster, st = _base(street, rng)
    tile_m = TILE * texel_m
    west, south = raster[0], raster[1]
    size = np.array(base_z.shape) * BASE_CELL_M
    rows, columns = (np.ceil(size / tile_m)).astype(int)
    index = _tile_index(street, west, south, tile_m, rows, columns)
    tile_rows, tile_columns = np.nonzero(index >= 0)
    corners = np.stack([west + tile_columns * tile_m, south + tile_rows * tile_m], axis=-1)
    section = street.section
    color, ids, edge = paint_tiles(
        corners,
        texel_m,
        st,
        raster,
        (section.lane_m, section.left_kerb_t_m, section.right_kerb_t_m, section.left_walk_m, section.right_walk_m),
        np.array([marking.row() for marking in street.markings], dtype=np.float64),
        street.repairs,
        street.manholes,
        _palette(rng),
        seed % 65_536,
    )
    shade_cell = 0.1
    shade = np.full((int(size[0] / shade_cell) + 1, int(size[1] / shade_cell) + 1), 255, dtype=np.uint8)
    return Ground(
        base_z=base_z,
        raster=raster,
        tile_index=index,
        tile_west_m=west,
        tile_south_m=south,
        texel_m=texel_m,
        color=color,
        ids=ids,
        edge=edge,
        flat=_flat(index, edge),
        shade=shade,
        shade_raster=(west, south, shade_cell),
        seed=seed % 65_536,
    )


def _base(street: Street, rng: np.random.Generator) -> tuple[F64, tuple[float, float, float], F64]:
    """Return base heights, their raster, and road coordinates (rows, columns, 2) on the same raster."""
    line, section = street.line, street.section
    west, south = np.floor(line.xy.min(axis=0) - LAND_MARGIN_M)
    columns, rows = np.ceil((line.xy.max(axis=0) + LAND_MARGIN_M - (west, south)) / BASE_CELL_M).astype(int)
    x, y = np.meshgrid(west + np.arange(columns) * BASE_CELL_M, south + np.arange(rows) * BASE_CELL_M)
    s, t = line.road_coordinates(np.stack([x, y], axis=-1))
    middle = 0.5 * (section.left_kerb_t_m + section.right_kerb_t_m)
    half = 0.5 * (section.left_kerb_t_m - section.right_kerb_t_m)
    across = np.minimum(np.abs(t - middle) / half, 1.0)
    road = line.z_at(s) + section.crown_m * (1.0 - across**2)
    # Far from the street its heights would tear along the middle axis of the bends; the land fades to a plain.
    away = np.clip((np.abs(t) - 12.0) / 40.0, 0.0, 1.0)
    away = away * away * (3.0 - 2.0 * away)
    waves = rng.uniform(0.0, 2 * np.pi, 4)
    hills = np.sin(x / 23.0 + waves[0]) * np.sin(y / 29.0 + waves[1]) + 0.5 * np.sin((x + y) / 13.0 + waves[2])
    plain = float(np.mean(line.z)) + 0.6 * hills
    return road * (1.0 - away) + plain * away, (float(west), float(south), BASE_CELL_M), np.stack([s, t], axis=-1)


def _tile_index(
    street: Street, west: float, south: float, tile_m: float, rows: int, columns: int
) -> npt.NDArray[np.int32]:
    section = street.section
    x, y = np.meshgrid(west + (np.arange(columns) + 0.5) * tile_m, south + (np.arange(rows) + 0.5) * tile_m)
    s, t = street.line.road_coordinates(np.stack([x, y], axis=-1))
    reach = tile_m * 0.75 + VERGE_M
    near = (t < section.left_kerb_t_m + section.left_walk_m + reach) & (
        t > section.right_kerb_t_m - section.right_walk_m - reach
    )
    near &= (s > street.line.s[0] - tile_m) & (s < street.line.s[-1] + tile_m)
    index = np.full((rows, columns), -1, dtype=np.int32)
    index[near] = np.arange(int(near.sum()), dtype=np.int32)
    return index


def _flat(index: npt.NDArray[np.int32], edge: U8) -> U8:
    """Return where rays need not search for kerbs: cells whose whole neighbourhood has one raise."""
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


def _palette(rng: np.random.Generator) -> F64:
    """Return asphalt albedo, its blue share, kerb and slab albedo, slab size, paint albedo and wear of a seed."""
    return np.array(
        [
            rng.uniform(0.09, 0.17),
            rng.uniform(0.96, 1.06),
            rng.uniform(0.34, 0.46),
            rng.uniform(0.26, 0.38),
            rng.choice([0.4, 0.5, 0.75]),
            rng.uniform(0.62, 0.74),
            rng.uniform(0.35, 0.75),
        ]
    )
