"""The steps of a fit: render an image, compare, and move the parameters of the cells in view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recon.arrays import F32, AnyArray
from recon.config import FitConfig
from recon.drive import DriveLog
from recon.fit.losses import CPU, Exposure, LossMeans, losses
from recon.fit.parameters import LOGITS, OPACITY, RGB, SCALE, TILT, Parameters, Z, bounds, initial_parameters, rates_at
from recon.fit.prepare import PreparedTile
from recon.fit.rays import rays_and_target, visible_window
from recon.fit.resume.checkpoint import Checkpoint, State
from recon.progress import Tick, silent
from recon.render.surfels import Renderer, Surfels, moved
from recon.surface.cells import Window
from recon.surface.road_surface import RoadSurface
from recon.views.views import View, Views

READERS = 6  # threads that decode the next images while a GPU works


def optimise(
    drives: Sequence[DriveLog],
    views: Views,
    tile: PreparedTile,
    config: FitConfig,
    renderer: tuple[Renderer, torch.device],
    *,
    tick: Tick = silent,
    checkpoint: Checkpoint | None = None,
) -> RoadSurface:
    """Return the surface of the tile's cells, in their order, after all steps on the renderer's device.

    A run that was stopped goes on from the last state in `checkpoint`, to the same bytes.
    """
    steps = _Steps(drives, tile, config, renderer, total=config.epochs * len(views.looks()))
    checkpoint = checkpoint or Checkpoint(None)
    steps.restore(checkpoint.load())
    workers = 0 if renderer[1] == CPU else READERS
    while steps.epoch < config.epochs:
        # The generator is asked anew after a stop: it gives the same order.
        order = steps.order(views)
        for view in views.ahead(order[steps.taken :], workers=workers):
            tick(steps.done, steps.total, "steps")
            steps.step(view)
            checkpoint.offer(steps.state)
        steps.next_epoch()
    return _surface(tile, steps.parameters.numpy(), steps.exposure, steps.means)


class _Steps:
    """The steps of one tile: what they change, and how many of them are done."""

    def __init__(
        self,
        drives: Sequence[DriveLog],
        tile: PreparedTile,
        config: FitConfig,
        renderer: tuple[Renderer, torch.device],
        total: int,
    ) -> None:
        self._tile, self._config, (self._render, self._device) = tile, config, renderer
        self.parameters = Parameters(initial_parameters(tile, config), *bounds(config), self._device)
        # Light changes between trips as exposure does between cameras.
        cameras = [_camera_key(trip, c.name) for trip, drive in enumerate(drives) for c in drive.cameras]
        self.exposure = Exposure(cameras, self._device)
        weights = {"rgb": config.rgb_weight, "class": config.class_weight, "smooth": config.smooth_weight}
        self.means = LossMeans({**weights, "lidar": config.lidar_weight, "exposure": float(config.exposure)})
        self.epoch = self.taken = self.done = 0  # `taken` images of this epoch, `done` of all
        self.total = total
        self._generator = np.random.default_rng(config.seed)
        self._before = self._generator.bit_generator.state  # at the start of the epoch

    def order(self, views: Views) -> list[int]:
        """Return the images of this epoch in their random order."""
        if self.taken == 0:
            self.means.epoch()
        self._before = self._generator.bit_generator.state
        return views.shuffled(self._generator)

    def next_epoch(self) -> None:
        """Start the next epoch."""
        self.epoch, self.taken = self.epoch + 1, 0

    def step(self, view: View) -> None:
        """Render an image, compare, and move the parameters of the cells in view."""
        progress = (self.done + 1) / self.total
        self.done, self.taken = self.done + 1, self.taken + 1
        tile, config, device = self._tile, self._config, self._device
        window = visible_window(
            tile.cells, view, self.parameters.heights, config.max_distance_m, tile.shown_by(view.trip, view.frame)
        )
        rays_target = rays_and_target(view, window, config.max_distance_m)
        if rays_target is None or not len(window.ids):
            return
        rays, target = moved(rays_target[0], device), moved(rays_target[1], device)
        local = self.parameters.take(window.ids)
        surfels = moved(_surfels(local, window, config.cell_m), device)
        rendering = self._render(surfels, rays)
        lidar = torch.from_numpy(tile.lidar_z[window.ids]).to(device)
        values = losses(rendering, target, surfels, lidar, self.exposure, _camera_key(view.trip, view.camera))
        self.means.add(values)
        loss = torch.stack([self.means.weights[term] * value for term, value in values.items()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        if config.exposure:
            self.exposure.step()
        if local.grad is not None:
            self.parameters.step(window.ids, local.grad, rates_at(progress))

    def state(self) -> State:
        """Return where the steps stand."""
        arrays = {f"parameters/{name}": array for name, array in self.parameters.state().items()}
        arrays |= {f"exposure/{name}": array for name, array in self.exposure.state().items()}
        facts = {name: getattr(self, name) for name in ("epoch", "taken", "done", "total")}
        return State(arrays=arrays, facts={**facts, "generator": self._before, "means": self.means.state()})

    def restore(self, state: State | None) -> None:
        """Go on from a state of this tile."""
        if state is None or state.facts["total"] != self.total:
            return
        self.parameters.restore(_of("parameters/", state))
        self.exposure.restore(_of("exposure/", state))
        self.means.restore(state.facts["means"])
        self._generator.bit_generator.state = state.facts["generator"]
        self.epoch, self.taken, self.done = (state.facts[name] for name in ("epoch", "taken", "done"))


def _of(part: str, state: State) -> dict[str, AnyArray]:
    return {name.removeprefix(part): array for name, array in state.arrays.items() if name.startswith(part)}


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
        shift_m=(tile.z_std_m[:, None] * tile.observations.lean).astype(np.float32),
        exposure=exposure.record(),
        report={
            "losses": means.report(),
            "lidar_cells": int(np.isfinite(tile.lidar_z).sum()),
            "stereo_points": tile.stereo_points,
            "withheld_m2": round(tile.withheld_m2, 2),
        },
    )
