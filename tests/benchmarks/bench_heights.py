"""Heights of the ground without LiDAR on the demo city: error by distance from the path, and the time it takes.

For every seed, on its own streets or over a real map, a drive without LiDAR is rendered with true class ids. The field
through the path alone and the heights from images are compared with the true ground, kerbs included, at all places that
two images show as ground. A cell holds the 50 % and the 90 % quantile of the error in centimetres.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F64
from recon.classes import GROUND
from recon.config import FitConfig, SegmentConfig
from recon.demo_city.city_drive import write_demo_drive
from recon.demo_city.config import CityConfig
from recon.demo_city.scene.city_scene import CityScene
from recon.fit.observe import observe
from recon.fit.tiles import tiles_of
from recon.heights.ground_heights import GroundHeights, from_images
from recon.heights.height_field import HeightField, height_field
from recon.progress import silent
from recon.segment.segment import segment
from recon.surface.cells import Cells
from recon.views.views import Trip, Views

BINS_M = (0.0, 4.0, 8.0, 12.0, 15.0, 22.0)
SHARE_OF_GROUND = 0.9
EVERY_M = 0.4


def row(name: str, ground: HeightField | GroundHeights, xy: F64, true_z: F64, away_m: F64) -> str:
    """Return one line of the table."""
    error = 100.0 * np.abs(ground.at(xy)[0] - true_z)
    cells = []
    for low, high in pairwise(BINS_M):
        inside = error[(away_m >= low) & (away_m < high)]
        half, most = np.quantile(inside, [0.5, 0.9]) if len(inside) else (np.nan, np.nan)
        cells.append(f"{half:5.1f} /{most:5.1f}")
    return f"{name:24s} | " + " | ".join(cells)


def measure(config: CityConfig, work: Path) -> None:
    """Render a drive and print its two lines."""
    fit = FitConfig()
    drive = write_demo_drive(work / "drive", config)
    labels = segment(drive, SegmentConfig(), work / "labels")
    views, path = Views([Trip(drive=drive, labels=labels)]), drive.path_xy_m()
    wide = Cells.corridor(path, corridor_m=fit.corridor_m, cell_m=EVERY_M)
    ground = CityScene.build(config).ground
    xy = wide.centres()
    true_z = np.array([ground.height(x, y) for x, y in xy.tolist()])
    seen = observe(views, wide, true_z, max_distance_m=fit.max_distance_m, tick=silent)
    kept = (seen.views >= 2) & (seen.class_share[:, [int(c) for c in GROUND]].sum(axis=1) > SHARE_OF_GROUND)
    places = (xy[kept], true_z[kept], np.asarray(cKDTree(path).query(xy[kept])[0]))
    tile = tiles_of(path, corridor_m=fit.corridor_m, cell_m=fit.cell_m, most_cells=10**9)[0]
    cells = Cells.within(path, tile.grid, tile.with_halo, corridor_m=fit.corridor_m)
    nothing = np.zeros((0, 3))
    field = height_field([drive], nothing, corridor_m=fit.corridor_m)
    start = time.monotonic()
    found = from_images([drive], views, cells, field, nothing, corridor_m=fit.corridor_m, weight=1.0, tick=silent)
    took = time.monotonic() - start
    print(row(f"{config.seed}: path alone", field, *places))
    print(row(f"{config.seed}: images, {took:.0f} s", found, *places), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="how many (2)")
    parser.add_argument("--first", type=int, default=7001, help="the first seed (7001)")
    parser.add_argument("--frames", type=int, default=30, help="of a drive (30)")
    parser.add_argument("--map", default="", help="folder of an Argoverse 2 log whose map is drawn over")
    given = parser.parse_args()
    bins = pairwise(BINS_M)
    print(f"{'cm from the path':24s} | " + " | ".join(f"{low:3.0f} to {high:2.0f} m " for low, high in bins))
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as work:
            measure(CityConfig(seed=seed, frames=given.frames, with_lidar=False, map_log=given.map), Path(work))


if __name__ == "__main__":
    main()
