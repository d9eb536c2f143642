"""The steps of a fit: render an image, compare, and move the parameters of the cells in view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recon.arrays import F32
from recon.config import FitConfig
from recon.drive import DriveLog
from recon.fit.losses import CPU, Exposure, LossMeans, losses
from recon.fit.parameters import LOGITS, OPACITY, RGB, SCALE, TILT, Parameters, Z, bounds, initial_parameters, rates_at
from recon.fit.prepare import PreparedTile
from recon.fit.rays import rays_and_target, visible_window
from recon.progress import Tick, silent
from recon.render.surfels import Renderer, Surfels, moved
from recon.surface.cells import Window
from recon.surface.road_surface import RoadSurface
from recon.views.views import Views

READERS = 6  # threads that decode the next images while a GPU works


def optimise(
    drives: Sequence[DriveLog],
    views: Views,
    tile: PreparedTile,
    config: FitConfig,
    renderer: tuple[Renderer, torch.device],
    *,
    tick: Tick = silent,
) -> RoadSurface:
    """Return the surface of the tile's cells, in their order, after all steps on the renderer's device."""
    render, device = renderer
    parameters = Parameters(initial_parameters(tile, config), *bounds(config), device)
    # Light changes between trips as exposure does between cameras.
    exposure = Exposure([_camera_key(trip, c.name) for trip, drive in enumerate(drives) for c in drive.cameras], device)
    weights = {"rgb": config.rgb_weight, "class": config.class_weight, "smooth": config.smooth_weight}
    means = LossMeans({**weights, "lidar": config.lidar_weight, "exposure": float(config.exposure)})
    generator = np.random.default_rng(config.seed)
    total = config.epochs * len(views.looks())
    done = 0
    for _ in range(config.epochs):
        means.epoch()
        for view in views.ahead(views.shuffled(generator), workers=0 if device == CPU else READERS):
            tick(done, total, "steps")
            done += 1
            window = visible_window(
                tile.cells, view, parameters.heights, config.max_distance_m, tile.shown_by(view.trip, view.frame)
            )
            rays_target = rays_and_target(view, window, config.max_distance_m)
            if rays_target is None or not len(window.ids):
                continue
            rays, target = moved(rays_target[0], device), moved(rays_target[1], device)
            local = parameters.take(window.ids)
            surfels = moved(_surfels(local, window, config.cell_m), device)
            rendering = render(surfels, rays)
            lidar = torch.from_numpy(tile.lidar_z[window.ids]).to(device)
            values = losses(rendering, target, surfels, lidar, exposure, _camera_key(view.trip, view.camera))
            means.add(values)
            loss = torch.stack([means.weights[term] * value for term, value in values.items()]).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            if config.exposure:
                exposure.step()
            if local.grad is not None:
                parameters.step(window.ids, local.grad, rates_at(done / total))
    return _surface(tile, parameters.numpy(), exposure, means)


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


def _camera_key(trip: int, camera: str) -> str:
    """Return the name under which a trip's camera keeps its exposure."""
    return f"{trip}/{camera}" if trip else camera


def _surface(tile: PreparedTile, parameters: F32, exposure: Exposure, means: LossMeans) -> RoadSurface:
    views = tile.observations.views
    return RoadSurface(
        grid=tile.cells.grid,
        row=tile.cells.row,
        column=tile.cells.column,
        z=parameters[:, 0].copy(),
        tilt=parameters[:, TILT].copy(),
        log_scale=parameters[:, SCALE].copy(),
        opacity=parameters[:, 5].copy(),
        rgb=parameters[:, RGB].copy(),
        class_logits=parameters[:, LOGITS].copy(),
        views=views,
        trips=tile.observations.trips,
        nearest_view_m=tile.observations.nearest_view_m,
        exposure=exposure.record(),
        report={
            "losses": means.report(),
            "lidar_cells": int(np.isfinite(tile.lidar_z).sum()),
            "stereo_points": tile.stereo_points,
            "withheld_m2": round(tile.withheld_m2, 2),
        },
    )
