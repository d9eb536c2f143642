"""Measure how long tracing a site takes: a street of the demo city of 1 km, 0.1 m cells, two cores.

The raster is computed from the painted ground of the city, without images. It holds the share of each class in every
cell of a corridor of 15 m on each side of the drive, blurred as by a fit, with noise, and with unseen rectangles as
behind parked cars. `--bev FOLDER` traces the BevMap of a finished job instead.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from pathlib import Path

import cv2
import numpy as np

from recon.artifact import read
from recon.bev.bev_map import BevBlocks, BevMap
from recon.classes import CLASS_COUNT, RoadClass
from recon.demo_city.config import CityConfig
from recon.demo_city.plan.street import Street
from recon.demo_city.scene.ground import Ground, build_ground
from recon.demo_city.scene.ground_kernels import TILE
from recon.surface.cells import Cells
from vectorize.trace.trace_site import trace_site
from vectorize.trace_config import TraceConfig

CELL_M, CORRIDOR_M, TEXEL_M = 0.1, 15.0, 0.05
BLUR_M = 0.08
NOISE = 0.02  # standard deviation of a class probability
HIDDEN_PER_M = 0.15


def painted(length_m: float, seed: int) -> BevMap:
    """Return a raster like that of a labelled drive of this length."""
    config = CityConfig(seed=seed, frames=round(length_m / 4.0) + 1, spacing_m=4.0, texel_m=TEXEL_M)
    street = Street.random(config, np.random.default_rng((seed, 0)))
    ground = build_ground(street, texel_m=TEXEL_M, seed=seed, rng=np.random.default_rng((seed, 1)))
    lane = street.section.driving(forward=True)[0].t_m
    path = street.line.at(np.arange(0.0, config.driven_m + 1.0, 2.0), lane)
    cells = Cells.corridor(path, corridor_m=CORRIDOR_M, cell_m=CELL_M)
    rng = np.random.default_rng(seed)
    grid, at = cells.grid, (cells.row, cells.column)
    views = np.zeros(grid.shape, np.uint16)
    views[at] = rng.integers(4, 30, len(cells))
    for x, y in path[rng.integers(0, len(path), round(HIDDEN_PER_M * length_m))] + rng.uniform(-12, 12, 2):
        column, row = grid.to_px(np.array([x, y])).astype(int).tolist()
        views[row : row + int(rng.integers(10, 60)), column : column + int(rng.integers(10, 60))] = 0
    probability = np.zeros((*grid.shape, CLASS_COUNT), np.float16)
    for road_class in range(1, CLASS_COUNT):
        share = np.zeros(grid.shape, np.float32)
        share[at] = _share(ground, cells.centres(), road_class)
        share = cv2.GaussianBlur(share, (0, 0), BLUR_M / CELL_M)
        share[at] += rng.normal(0.0, NOISE, len(cells)).astype(np.float32)
        probability[..., road_class] = share.clip(0.0, 1.0)
    probability /= np.maximum(probability.sum(axis=2, keepdims=True, dtype=np.float32), 1e-3).astype(np.float16)
    probability[views == 0] = 0
    return BevMap(
        grid=grid,
        rgb=np.zeros((*grid.shape, 3), np.uint8),
        class_probability=probability,
        height_m=np.zeros(grid.shape, np.float32),
        views=views,
        trips=(views > 0).astype(np.uint64),
    )


def _share(ground: Ground, centres: np.ndarray, road_class: int) -> np.ndarray:
    """Return the share of a class in the cells around centres (N, 2)."""
    share = np.zeros(len(centres), np.float32)
    for offset in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        texel = (centres + 0.25 * CELL_M * np.array(offset) - (ground.tile_west_m, ground.tile_south_m)) / TEXEL_M
        column, row = np.floor(texel).astype(np.int64).T
        inside = (row >= 0) & (column >= 0)
        inside &= (row < ground.tile_index.shape[0] * TILE) & (column < ground.tile_index.shape[1] * TILE)
        tile = np.where(
            inside, ground.tile_index[np.where(inside, row // TILE, 0), np.where(inside, column // TILE, 0)], -1
        )
        ids = np.where(tile >= 0, ground.ids[tile, row % TILE, column % TILE], int(RoadClass.OFF_ROAD))
        share += 0.25 * (ids == road_class)
    return share


def main() -> None:
    """Print the seconds and the number of traced elements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=float, default=1000.0, help="metres driven (1000)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bev", type=Path, help="folder of a BevMap to trace instead")
    parser.add_argument("--profile", action="store_true", help="print a profile")
    given = parser.parse_args()
    bev = read(BevBlocks, given.bev, mapped=True) if given.bev else BevBlocks.of(painted(given.length, given.seed))
    trace_site(BevBlocks.of(painted(40.0, given.seed)), TraceConfig())  # imports and compiled kernels are warm
    profile = cProfile.Profile()
    start, cpu = time.perf_counter(), time.process_time()
    if given.profile:
        profile.enable()
    road_map = trace_site(bev, TraceConfig())
    profile.disable()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    counts = {name: len(road_map.of(name)) for name in ("divider", "boundary", "ped_crossing", "stop_line")}
    seen = int((bev.views > 0).sum())
    print(f"{bev.grid.width} x {bev.grid.height} cells of {bev.grid.cell_m} m, {seen} seen; {counts}")
    print(f"{seconds:.1f} s ({cpu:.1f} s of CPU), peak {peak:.0f} MiB")
    if given.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
