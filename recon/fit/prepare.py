"""`prepare`: the state of a tile before the first step of a fit: the cells seen, their evidence and heights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from recon.align.deck_edges import past_deck_edges
from recon.align.levels import Levels
from recon.arrays import F32, F64, I64, U64, Bool
from recon.classes import DRIVABLE
from recon.config import FitConfig
from recon.drive import DriveLog, Frame
from recon.fit.observe import Observations, observe
from recon.fit.tiles import Tile
from recon.heights.ground_heights import GroundHeights, from_images
from recon.heights.height_field import HeightField, height_field, local_lift
from recon.progress import Tick
from recon.sensors.lidar import world_points
from recon.surface.cells import BLOCK_CELLS, Cells, block_order
from recon.views.views import Views

LIDAR_RANGE_M = 40.0
FIELD_MARGIN_M = 20.0  # of the LiDAR beyond a tile: more than the margin of the height field
SPARSE_SHARE = 0.05  # of the square metres of a tile with LiDAR returns: below it, heights also come from images
LIDAR_NEAR_M = 0.15  # returns farther from the height field are not this surface


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedTile:
    """The cells of a tile that were seen, with their evidence and heights, before the first step."""

    cells: Cells
    z: F64  # (N,) metres
    tilt: F64  # (N, 2)
    z_std_m: F64  # (N,) standard deviation of z
    observations: Observations
    lidar_z: F32  # (N,) mean LiDAR height, NaN without a return
    stereo_points: int  # heights on which images agreed; 0 where LiDAR measured enough
    level: I64 | None = None  # (N,) of a site with several levels: see `recon.align.levels`
    members: tuple[U64, ...] = ()  # per trip (F,) bit l: the images of a frame show cells of level l
    withheld_m2: float = 0.0  # of the tile and its halo: of no known level, or far below what was seen there

    def shown_by(self, trip: int, frame: int) -> Bool | None:
        """Return which cells (N,) the images of a frame may show, or None for all."""
        if self.level is None:
            return None
        levels = self.members[trip][frame] >> self.level.astype(np.uint64)
        result: Bool = (levels & np.uint64(1)) > 0
        return result

    @property
    def is_road(self) -> Bool:
        """Return which cells (N,) have labels that are mostly drivable."""
        result: Bool = self.observations.class_share[:, list(DRIVABLE)].sum(axis=1) > 0.5
        return result

    @property
    def road_m2(self) -> float:
        """Return the area of those cells."""
        return float(self.is_road.sum()) * self.cells.grid.cell_m**2


def prepare(
    drives: Sequence[DriveLog], views: Views, tile: Tile, config: FitConfig, tick: Tick, *, cells: Cells | None = None
) -> PreparedTile:
    """Return the cells of a tile and its halo that some valid pixel of `views` saw, possibly none.

    `cells` are those of the corridor to choose from, all of them by default.
    """
    low, high = tile.box_m()
    # Poses beyond the tile still influence the height field a little at its edge.
    reach_m = max(LIDAR_RANGE_M, config.corridor_m + BLOCK_CELLS * config.cell_m)
    near = [replace(d, frames=tuple(f for f in d.frames if _reaches(f, low - reach_m, high + reach_m))) for d in drives]
    box = (low - FIELD_MARGIN_M, high + FIELD_MARGIN_M)
    clouds = [world_points(d, max_range_m=LIDAR_RANGE_M, box_m=box) for d in drives if config.lidar_weight > 0]
    cloud = np.concatenate([np.zeros((0, 3)), *clouds])
    field = height_field(near, cloud, corridor_m=config.corridor_m)
    path = np.concatenate([drive.path_xy_m() for drive in drives])
    if cells is None:
        cells = Cells.within(path, tile.grid, tile.with_halo, corridor_m=config.corridor_m)
    ground = GroundHeights(road=field, beside=field, raised=None, points=0)
    if config.stereo_weight > 0 and _measured_share(cells, cloud) < SPARSE_SHARE:
        sizes = {"corridor_m": config.corridor_m, "weight": config.stereo_weight}
        ground = from_images(near, views.distinct(), cells, field, cloud, **sizes, tick=tick)
    xy = cells.centres()
    z, tilt = ground.at(xy)
    lidar_z = _lidar_heights(cells, ground.road, cloud)
    z = z + local_lift(xy, lidar_z - z)
    seen = observe(views, cells, z, max_distance_m=config.max_distance_m, tick=tick)
    kept = np.flatnonzero(seen.views > 0)
    cells = Cells(grid=cells.grid, row=cells.row[kept], column=cells.column[kept], blocks=_spans_of_kept(cells, kept))
    observations = Observations(
        views=seen.views[kept],
        trips=seen.trips[kept],
        nearest_view_m=seen.nearest_view_m[kept],
        rgb=seen.rgb[kept],
        class_share=seen.class_share[kept],
        lean=seen.lean[kept],
    )
    return PreparedTile(
        cells=cells,
        z=z[kept],
        tilt=tilt[kept],
        z_std_m=ground.std_at(xy[kept]),
        observations=observations,
        lidar_z=lidar_z[kept],
        stereo_points=ground.points,
    )


def prepare_levels(
    levels: Levels, drives: Sequence[DriveLog], views: Views, tile: Tile, config: FitConfig, tick: Tick
) -> PreparedTile:
    """Return the cells of a tile that were seen, each with the heights and the evidence of its own level."""
    path = np.concatenate([drive.path_xy_m() for drive in drives])
    cells = Cells.within(path, tile.grid, tile.with_halo, corridor_m=config.corridor_m)
    owner = levels.owners(cells.centres())
    parts, names, kept = [], [], []
    for level in range(levels.count):
        if not np.any(owner == level):
            continue
        own = Cells.of(cells.grid, cells.row[owner == level], cells.column[owner == level])
        near = views.only(n for n, (trip, image, _) in enumerate(views.images) if levels.sees(level, trip, image.frame))
        parts.append(prepare(levels.drives(level, drives), near, tile, config, tick, cells=own))
        names.append(np.full(len(parts[-1].cells), level, dtype=np.int64))
        kept.append(~past_deck_edges(levels, level, parts[-1].cells, parts[-1].is_road))
    if not parts:
        return prepare(drives, views, tile, config, tick, cells=Cells.of(cells.grid, cells.row[:0], cells.column[:0]))
    row, column = (np.concatenate([getattr(part.cells, name) for part in parts]) for name in ("row", "column"))
    order = block_order(row, column)
    clear = np.concatenate(kept)
    order = order[clear[order]]

    def joined(*path: str) -> Any:
        return np.concatenate([reduce(getattr, path, part) for part in parts])[order]

    fields = ("views", "trips", "nearest_view_m", "rgb", "class_share", "lean")
    return PreparedTile(
        cells=Cells.of(cells.grid, row[order], column[order]),
        z=joined("z"),
        tilt=joined("tilt"),
        z_std_m=joined("z_std_m"),
        observations=Observations(**{name: joined("observations", name) for name in fields}),
        lidar_z=joined("lidar_z").astype(np.float32),
        stereo_points=sum(part.stereo_points for part in parts),
        level=np.concatenate(names)[order],
        members=levels.members,
        withheld_m2=float((owner < 0).sum() + (~clear).sum()) * cells.grid.cell_m**2,
    )


def _reaches(frame: Frame, low_m: F64, high_m: F64) -> bool:
    place = frame.world_from_ego[:2, 3]
    return bool(np.all((place > low_m) & (place < high_m)))


def _measured_share(cells: Cells, cloud: F64) -> float:
    """Return the share of the cells' square metres that hold a LiDAR return."""
    places, returns = (
        np.unique(np.floor(xy).astype(np.int64) @ [1 << 32, 1]) for xy in (cells.centres(), cloud[:, :2])
    )
    return float(np.isin(places, returns).mean()) if len(places) else 0.0


def _spans_of_kept(cells: Cells, kept: npt.NDArray[np.intp]) -> dict[tuple[int, int], tuple[int, int]]:
    # `kept` is ascending, so the blocks keep their order and each block's span only shrinks.
    spans = {name: np.searchsorted(kept, span) for name, span in cells.blocks.items()}
    return {name: (int(a), int(b)) for name, (a, b) in spans.items() if b > a}


def _lidar_heights(cells: Cells, field: HeightField, cloud: F64) -> F32:
    width = cells.grid.width
    if not len(cells):
        return np.zeros(0, dtype=np.float32)
    rows_columns, inside = cells.grid.cells(cloud[:, :2])
    inside &= np.abs(field.at(cloud[:, :2])[0] - cloud[:, 2]) < LIDAR_NEAR_M if len(cloud) else inside
    key = rows_columns[inside, 0] * width + rows_columns[inside, 1]
    own = cells.row.astype(np.int64) * width + cells.column
    order = np.argsort(own)
    position = np.clip(np.searchsorted(own, key, sorter=order), 0, len(own) - 1)
    cell = order[position]
    hit = own[cell] == key
    count = np.bincount(cell[hit], minlength=len(own))
    total = np.bincount(cell[hit], weights=cloud[inside, 2][hit], minlength=len(own))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
