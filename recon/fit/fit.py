"""`fit`: from labelled drives, one or several aligned ones, to a road surface of 2D Gaussian surfels (after RoGS).

Each tile of the site is prepared: corridor cells, a height field through path and LiDAR, and what every image shows of
every cell. Then its images are taken in a seeded order: render, compare, step. Colour moves geometry. Class
probabilities do not (they are composited with constant weights), so a wrong label cannot bend the road.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.align.alignment import corrected
from recon.align.levels import Levels
from recon.align.loop_closure import loop_closure
from recon.align.pose_deltas import added, pose_report, posed
from recon.align.pose_jump import pose_jump
from recon.config import FitConfig
from recon.drive import DriveLog
from recon.errors import ConfigInvalid, PoseInvalid
from recon.fit.allocator import kept_memory
from recon.fit.optimise import optimise
from recon.fit.prepare import prepare, prepare_levels
from recon.fit.resume.kept_tiles import KeptTiles
from recon.fit.stitch import Stitcher
from recon.fit.tiles import tiles_of
from recon.heights.mount import mount_report, mounted
from recon.progress import Tick, silent
from recon.render.choice import choose
from recon.render.surfels import Renderer
from recon.surface.road_surface import RoadSurface
from recon.views.views import Trip, Views

LEAST_ROAD_M2 = 1.0  # of a tile: with less it stays empty
MOST_TRIPS = 64  # of one surface: a cell keeps one bit for each
THREADS = 1  # for torch: its operations here are too small to share, and sums keep their order everywhere


def fit(trips: Sequence[Trip], config: FitConfig, tick: Tick = silent, *, scratch: Path | None = None) -> RoadSurface:
    """Fit one road surface to one trip or to several aligned ones; the same input, config and seed give the same bytes.

    With `pose_deltas` the surface is fitted under corrected poses, which its report holds: see `pose_deltas.posed`.
    A single trip without LiDAR gets the height of the road and the pitch of its cameras from its images: see `mount`.
    A site of more than `tile_cells` cells is fitted tile by tile; finished tiles are kept in files in `scratch`. So is
    the state of the steps, from time to time: a fit that was stopped goes on from there, to the same bytes, when it is
    called again with the same arguments.

    Raises NoRoadFound when nothing drivable was seen, PoseInvalid when the poses of a single trip jump (among
    several, `align` leaves it out), ImageInvalid when an image vanished since segmentation, and ConfigInvalid for more
    than MOST_TRIPS trips.
    """
    if len(trips) > MOST_TRIPS:
        hint = "Leave out the trips that share least ground with the others."
        raise ConfigInvalid(f"{len(trips)} trips exceed the limit of {MOST_TRIPS}", hint=hint)
    if len(trips) == 1 and (jump := pose_jump(trips[0].drive, config.most_jump_m)):
        hint = "Cut the drive there, repair its poses, or raise fit.most_jump_m if the vehicle did move like that."
        raise PoseInvalid(jump, where=f"drive {trips[0].drive.name}", hint=hint)
    renderer = choose(config.renderer)  # first, so that a machine without it fails before reading a thousand images
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with kept_memory():
            poses: dict[str, Any] = {}
            if config.loop_closure and len(trips) == 1 and (closure := loop_closure(trips[0], tick)):
                poses = {"poses": closure.record()}
                trips = [replace(trips[0], drive=posed(trips[0].drive, poses))]
            if config.pose_deltas and len(trips) == 1:  # the poses of several trips were corrected by `align`
                drive = trips[0].drive
                views = Views(trips, holdout_every=config.holdout_every)
                deltas = {"poses": pose_report(views, drive, corridor_m=config.corridor_m, tick=tick)}
                trips = [replace(trips[0], drive=posed(drive, deltas))]
                poses = {"poses": added(deltas["poses"], poses.get("poses"))}
            mount = {}
            if len(trips) == 1 and not _has_lidar(trips[0].drive, config):
                views = Views(trips, holdout_every=config.holdout_every).distinct()
                mount = {"mount": mount_report(views, trips[0].drive, use=config.mount == "images", tick=tick)}
                trips = [replace(trips[0], drive=mounted(trips[0].drive, mount))]
            datum_m = datum_of([trip.drive for trip in trips])
            trips = [replace(trip, drive=_raised(trip.drive, -datum_m)) for trip in trips]
            views = Views(trips, holdout_every=config.holdout_every)
            drives = [trip.drive for trip in trips]
            surface = fit_tiles(drives, views, config, renderer, tick=tick, scratch=scratch, datum_m=datum_m)
            return replace(surface, report={**surface.report, **poses, **mount})
    finally:
        torch.set_num_threads(threads)


def fit_tiles(
    drives: Sequence[DriveLog],
    views: Views,
    config: FitConfig,
    renderer: tuple[Renderer, torch.device],
    *,
    tick: Tick,
    scratch: Path | None = None,
    datum_m: float = 0.0,
) -> RoadSurface:
    """Prepare and optimise every tile and return one surface; of several tiles, its arrays lie in files in `scratch`.

    The surface is raised by `datum_m`, the world height that the drives count theirs from. A tile without visible road
    stays empty, and the report states why. Raises NoRoadFound when all tiles are empty.
    """
    path = np.concatenate([drive.path_xy_m() for drive in drives])
    tiles = tiles_of(path, corridor_m=config.corridor_m, cell_m=config.cell_m, most_cells=config.tile_cells)
    stitcher, kept = Stitcher(scratch), KeptTiles(scratch)
    levels = Levels.of(drives, corridor_m=config.corridor_m)
    for number, tile in enumerate(tiles, start=1):
        one = len(tiles) == 1
        near = views if one else tile.seen_by(views, config.max_distance_m)
        tell = tick if one else _of_tile(tick, number, len(tiles))
        if (finished := kept.finished(number)) is not None:
            stitcher.add(finished, tile, near)
            continue
        if levels is None:
            prepared = prepare(drives, near, tile, config, tell)
        else:
            prepared = prepare_levels(levels, drives, near, tile, config, tell)
        if prepared.road_m2 < LEAST_ROAD_M2:
            stitcher.leave_out(prepared, near)
            continue
        checkpoint = kept.checkpoint(number)
        surface = optimise(drives, near, prepared, config, renderer, tick=tell, checkpoint=checkpoint)
        surface = replace(surface, z=(surface.z + np.float64(datum_m)).astype(np.float32))
        if one:
            return surface
        kept.keep(number, surface)
        stitcher.add(surface, tile, near)
    return stitcher.surface(f"drive {', '.join(drive.name for drive in drives)}: {len(views)} images")


def _has_lidar(drive: DriveLog, config: FitConfig) -> bool:
    return config.lidar_weight > 0 and any(frame.lidar_path for frame in drive.frames)


def datum_of(drives: Sequence[DriveLog]) -> float:
    """Return the whole metre of world height from which heights count during the fit.

    They are float32: counted from sea level, a step of the optimiser would be lost on a mountain.
    """
    heights = [float(frame.world_from_ego[2, 3]) for drive in drives for frame in drive.frames]
    return float(np.round(np.median(heights))) if heights else 0.0


def _raised(drive: DriveLog, by_m: float) -> DriveLog:
    return corrected(drive, np.tile([0.0, 0.0, by_m, 0.0], (len(drive.frames), 1)))


def _of_tile(tick: Tick, number: int, count: int) -> Tick:
    def tell(done: int, total: int, unit: str = "", /) -> None:
        tick(done, total, f"{unit} of tile {number} of {count}")

    return tell
