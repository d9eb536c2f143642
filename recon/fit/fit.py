"""`fit`: from labelled drives, one or several aligned ones, to a road surface of 2D Gaussian surfels (after RoGS).

Prepare: corridor cells, a height field through path and LiDAR, one look of every image at every cell. Then, image by
image in a seeded order: render, compare, step. Colour moves geometry; class probabilities do not (they are
composited with constant weights), so a wrong label cannot bend the road.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recon.align.pose_deltas import pose_report, posed
from recon.align.pose_jump import pose_jump
from recon.arrays import F32
from recon.classes import CLASS_COUNT, GROUND, RoadClass
from recon.config import FitConfig
from recon.drive import DriveLog
from recon.errors import ConfigInvalid, PoseInvalid, RoadscribeError
from recon.fit import observe_kernels
from recon.fit.allocator import kept_memory
from recon.fit.ground_ray_kernels import ground_rays
from recon.fit.losses import CPU, TERMS, Exposure, Target, losses
from recon.fit.parameters import Parameters
from recon.fit.prepare import Site
from recon.fit.stitch import fit_tiles
from recon.progress import Tick, silent
from recon.render.choice import choose
from recon.render.surfels import SIGMA_MAX_CELLS, Raster, Rays, Surfels, moved
from recon.surface.cells import Window
from recon.surface.road_surface import RoadSurface
from recon.views.views import Trip, View, Views

# Columns of the parameter matrix
Z, TILT, SCALE, OPACITY, RGB, LOGITS = slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 6), slice(6, 9), slice(9, 18)
COLUMNS = 9 + CLASS_COUNT
INITIAL_SIGMA_CELLS = 0.6
INITIAL_OPACITY = 2.0  # logit: 0.88, so that opacity has a gradient from the first step
SHARE_FLOOR = 0.02  # a class nobody voted for starts improbable, not impossible
READERS = 6  # threads that decode the next images while a GPU works
MOST_TRIPS = 64  # of one surface: a cell keeps one bit for each
THREADS = 1  # for torch: its operations here are too small to share, and sums keep their order everywhere


def initial_parameters(site: Site, config: FitConfig) -> F32:
    """Return the (N, COLUMNS) parameter matrix that the first look gives."""
    parameters = np.zeros((len(site.cells), COLUMNS), dtype=np.float32)
    parameters[:, Z] = site.z[:, None]
    parameters[:, TILT] = site.tilt
    parameters[:, SCALE] = math.log(INITIAL_SIGMA_CELLS * config.cell_m)
    parameters[:, OPACITY] = INITIAL_OPACITY
    parameters[:, RGB] = site.observations.rgb
    parameters[:, LOGITS] = np.log(site.observations.class_share + SHARE_FLOOR)
    return parameters


def _limits(config: FitConfig) -> tuple[F32, F32]:
    low, high = np.full(COLUMNS, -np.inf, np.float32), np.full(COLUMNS, np.inf, np.float32)
    low[TILT], high[TILT] = -1.0, 1.0
    low[SCALE], high[SCALE] = math.log(0.3 * config.cell_m), math.log(SIGMA_MAX_CELLS * config.cell_m)
    low[OPACITY], high[OPACITY] = -4.0, 6.0
    low[RGB], high[RGB] = 0.0, 1.0
    low[LOGITS], high[LOGITS] = -12.0, 12.0
    return low, high


def _rates(progress: float) -> F32:
    rates = np.zeros(COLUMNS, dtype=np.float32)
    rates[Z] = 2e-3 * 0.1**progress  # metres a step: a few cm over the visits of one cell
    rates[TILT] = 1e-3 * 0.1**progress
    rates[SCALE], rates[OPACITY] = 5e-3, 1e-2
    rates[RGB], rates[LOGITS] = 8e-3, 5e-2
    return rates


def _window(site: Site, view: View, z: F32, config: FitConfig) -> Window:
    """Return the cells this view can see: others would cost time and feel no gradient."""
    window = site.cells.window(*view.footprint(config.max_distance_m))
    xy = window.corner_m + (np.stack([window.column, window.row], axis=1) + 0.5) * site.cells.grid.cell_m
    height, width = view.labels.ids.shape
    visible = observe_kernels.in_view(
        xy[:, 0], xy[:, 1], z[window.ids], view.camera_from_world, width, height, view.k, 8.0, config.max_distance_m
    )
    index = np.full_like(window.index, -1)
    row, column = window.row[visible], window.column[visible]
    index[row, column] = np.arange(len(row), dtype=np.int32)
    return Window(ids=window.ids[visible], row=row, column=column, index=index, corner_m=window.corner_m)


def target_of(view: View, window: Window, max_distance_m: float) -> tuple[Rays, Target] | None:
    """Return rays and targets of the pixels that see ground within reach, or None when there is none."""
    height, width = view.labels.ids.shape
    up = view.world_from_ego[:3, 2]
    ground = view.world_from_ego[:3, 3] + view.ground_z_ego_m * up
    above = float(up @ (view.world_from_camera[:3, 3] - ground))
    rotation = np.ascontiguousarray(view.world_from_camera[:3, :3])
    usable, direction = ground_rays(view.labels.ids, np.linalg.inv(view.k), rotation, up, above, max_distance_m)
    if not len(usable):
        return None
    origin = view.world_from_camera[:3, 3] - np.r_[window.corner_m, 0.0]
    ahead = view.world_from_camera[:2, 2]
    rays = Rays(
        origin=torch.from_numpy(origin.astype(np.float32)),
        direction=torch.from_numpy(direction),
        forward=torch.from_numpy((ahead / max(float(np.linalg.norm(ahead)), 1e-9)).astype(np.float32)),
        raster=Raster(
            width_px=width,
            height_px=height,
            pixel_from_direction=torch.from_numpy((view.k @ view.camera_from_world[:3, :3]).astype(np.float32)),
            pixel=torch.from_numpy(usable),
        ),
    )
    seen = (view.labels.ids, view.labels.runner_up, view.labels.confidence, view.labels.runner_up_confidence)
    ids, runner_up, confidence, second = (torch.from_numpy(plane.reshape(-1)[usable]) for plane in seen)
    target = Target(
        rgb=torch.from_numpy(view.rgb.reshape(-1, 3)[usable]).float() / 255.0,
        ids=ids.long(),
        confidence=confidence.float() / 255.0,
        runner_up=runner_up.long(),
        runner_up_confidence=torch.where(runner_up == int(RoadClass.UNKNOWN), 0.0, second.float() / 255.0),
        ground=torch.isin(ids, torch.tensor([int(c) for c in GROUND], dtype=ids.dtype)),
    )
    return rays, target


def _surfels(local: Tensor, window: Window, cell_m: float) -> Surfels:
    return Surfels(
        index=torch.from_numpy(window.index),
        row=torch.from_numpy(window.row),
        column=torch.from_numpy(window.column),
        cell_m=cell_m,
        z=local[:, Z].squeeze(1),
        tilt=local[:, TILT],
        log_scale=local[:, SCALE],
        opacity=local[:, OPACITY].squeeze(1),
        features=torch.cat([local[:, RGB], torch.softmax(local[:, LOGITS], dim=1)], dim=1),
        geometry_channels=3,
    )


class Ledger:
    """Running means of the loss terms, per epoch; a term is live when it had data and a weight."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self._sums: list[dict[str, list[float]]] = []

    def epoch(self) -> None:
        """Start the next epoch."""
        self._sums.append({term: [] for term in TERMS})

    def add(self, values: dict[str, Tensor]) -> None:
        """Record one step; raises RoadscribeError naming every term when one is not finite."""
        numbers = {term: float(value.detach()) for term, value in values.items()}
        if not all(math.isfinite(number) for number in numbers.values()):
            raise RoadscribeError(
                f"the fit diverged: {numbers}", hint="Lower the weights of FitConfig and report the drive."
            )
        for term, number in numbers.items():
            self._sums[-1][term].append(number)

    def report(self) -> dict[str, dict[str, float | bool]]:
        """Return weight, liveness and the mean of the first and last epoch of every term."""

        def mean(values: list[float]) -> float:
            return round(sum(values) / len(values), 6) if values else 0.0

        first, last = self._sums[0], self._sums[-1]
        return {
            term: {
                "weight": self.weights[term],
                "live": bool(last[term]) and self.weights[term] > 0,
                "first_epoch": mean(first[term]),
                "last_epoch": mean(last[term]),
            }
            for term in TERMS
        }


def optimise(
    drives: Sequence[DriveLog],
    views: Views,
    site: Site,
    config: FitConfig,
    *,
    tick: Tick = silent,
) -> RoadSurface:
    """Run the steps on the renderer's device and return the surface."""
    render, device = choose(config.renderer)
    parameters = Parameters(initial_parameters(site, config), *_limits(config), device)
    # Light changes between trips as exposure does between cameras.
    exposure = Exposure([_eye(trip, c.name) for trip, drive in enumerate(drives) for c in drive.cameras], device)
    weights = {"rgb": config.rgb_weight, "class": config.class_weight, "smooth": config.smooth_weight}
    ledger = Ledger({**weights, "lidar": config.lidar_weight, "exposure": float(config.exposure)})
    generator = np.random.default_rng(config.seed)
    total = config.epochs * len(views)
    done = 0
    for _ in range(config.epochs):
        ledger.epoch()
        for view in views.ahead(generator.permutation(len(views)), workers=0 if device == CPU else READERS):
            tick(done, total, "steps")
            done += 1
            window = _window(site, view, parameters.heights, config)
            rays_target = target_of(view, window, config.max_distance_m)
            if rays_target is None or not len(window.ids):
                continue
            rays, target = moved(rays_target[0], device), moved(rays_target[1], device)
            local = parameters.take(window.ids)
            surfels = moved(_surfels(local, window, config.cell_m), device)
            rendering = render(surfels, rays)
            lidar = torch.from_numpy(site.lidar_z[window.ids]).to(device)
            values = losses(rendering, target, surfels, lidar, exposure, _eye(view.trip, view.camera))
            ledger.add(values)
            loss = torch.stack([ledger.weights[term] * value for term, value in values.items()]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            if config.exposure:
                exposure.step()
            if local.grad is not None:
                parameters.step(window.ids, local.grad, _rates(done / total))
    return _surface(site, parameters.numpy(), exposure, ledger)


def _eye(trip: int, camera: str) -> str:
    """Return the name under which a trip's camera keeps its exposure."""
    return f"{trip}/{camera}" if trip else camera


def _surface(site: Site, parameters: F32, exposure: Exposure, ledger: Ledger) -> RoadSurface:
    views = site.observations.views
    return RoadSurface(
        grid=site.cells.grid,
        row=site.cells.row,
        column=site.cells.column,
        z=parameters[:, 0].copy(),
        tilt=parameters[:, TILT].copy(),
        log_scale=parameters[:, SCALE].copy(),
        opacity=parameters[:, 5].copy(),
        rgb=parameters[:, RGB].copy(),
        class_logits=parameters[:, LOGITS].copy(),
        views=views,
        trips=site.observations.trips,
        nearest_view_m=site.observations.nearest_view_m,
        exposure=exposure.record(),
        report={
            "losses": ledger.report(),
            "lidar_cells": int(np.isfinite(site.lidar_z).sum()),
            "stereo_points": site.stereo_points,
        },
    )


def fit(trips: Sequence[Trip], config: FitConfig, tick: Tick = silent, *, scratch: Path | None = None) -> RoadSurface:
    """Fit one road surface to one trip or to several aligned ones; the same input, config and seed give the same bytes.

    With `pose_deltas` the surface belongs to corrected poses, which its report holds: see `pose_deltas.posed`.
    A site of more than `tile_cells` cells is fitted tile by tile; what is finished waits in files in `scratch`.

    Raises NoRoadFound when nothing drivable was seen, PoseInvalid when the poses of a single trip jump (of several,
    `align` leaves that one out), ImageInvalid when an image vanished since segmentation, and ConfigInvalid for more
    than MOST_TRIPS trips.
    """
    if len(trips) > MOST_TRIPS:
        hint = "Leave out those that show least of the others' ground."
        raise ConfigInvalid(f"{len(trips)} trips are more than {MOST_TRIPS}", hint=hint)
    if len(trips) == 1 and (jump := pose_jump(trips[0].drive, config.most_jump_m)):
        hint = "Cut the drive there, mend the positioning, or raise fit.most_jump_m if the vehicle did move like that."
        raise PoseInvalid(jump, where=f"drive {trips[0].drive.name}", hint=hint)
    choose(config.renderer)  # a machine that lacks it says so before it reads a thousand images
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with kept_memory():
            views = Views(trips, holdout_every=config.holdout_every)
            poses: dict[str, Any] = {}
            if config.pose_deltas and len(trips) == 1:  # several have been brought together by `align`
                drive = trips[0].drive
                poses = {"poses": pose_report(views, drive, corridor_m=config.corridor_m, tick=tick)}
                trips = [replace(trips[0], drive=posed(drive, poses))]
                views = Views(trips, holdout_every=config.holdout_every)
            drives = [trip.drive for trip in trips]
            surface = fit_tiles(drives, views, config, optimise, tick=tick, scratch=scratch)
            return replace(surface, report={**surface.report, **poses})
    finally:
        torch.set_num_threads(threads)
