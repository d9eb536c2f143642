"""How much memory a fit takes, from the area of the site, `fit.cell_m` and the images.

Source: the table of docs/large-sites.md, 170 MB and 1.3 kB for each cell of the largest tile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.config import FitConfig
from recon.drive import DriveLog
from recon.fit.tiles import tiles_of
from recon.surface.cells import BLOCK_CELLS
from workers.memory.need import BASE_MB, images_mb, refuse_beyond

CELL_BYTES = 1300.0
FEWEST_CELLS = 10_000  # that fit.tile_cells allows


def largest_tile(drives: Sequence[DriveLog], config: FitConfig) -> int:
    """Return the cells of the largest tile around the paths of all drives."""
    path = np.concatenate([drive.path_xy_m() for drive in drives])
    tiles = tiles_of(path, corridor_m=config.corridor_m, cell_m=config.cell_m, most_cells=config.tile_cells)
    return max(len(tile.own) for tile in tiles) * BLOCK_CELLS**2


def check_fit(drives: Sequence[DriveLog], config: FitConfig, limit_mb: float) -> None:
    """Raise MemoryShort if the site cannot be fitted within `limit_mb`."""
    if not drives:
        return
    cells, rest_mb = largest_tile(drives, config), BASE_MB + images_mb(drives)
    fitting = int((limit_mb - rest_mb) * 1e6 / CELL_BYTES)
    way_out = f"Set fit.tile_cells to {fitting} or less." if fitting >= FEWEST_CELLS else "Scale the images down."
    refuse_beyond(limit_mb, rest_mb + cells * CELL_BYTES / 1e6, "fit", way_out)
