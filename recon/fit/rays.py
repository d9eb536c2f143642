"""What one image brings to a step of the fit: the cells in view, the rays to the ground, and their targets."""

from __future__ import annotations

import numpy as np
import torch

from recon.arrays import F32, Bool
from recon.classes import GROUND, RoadClass
from recon.fit import observe_kernels
from recon.fit.ground_ray_kernels import ground_rays
from recon.fit.losses import Target
from recon.render.surfels import Raster, Rays
from recon.surface.cells import Cells, Window
from recon.views.views import View

MARGIN_PX = 8.0  # around the image: the footprint of a cell outside may reach in


def visible_window(cells: Cells, view: View, z_m: F32, max_distance_m: float, shown: Bool | None = None) -> Window:
    """Return the cells (heights `z_m` (N,)) that the view can see: the others would cost time and get no gradient.

    `shown` (N,) leaves out cells of other levels.
    """
    reach_m = view.reach_m(max_distance_m)
    window = cells.window(*view.footprint(reach_m))
    xy = window.corner_m + (np.stack([window.column, window.row], axis=1) + 0.5) * cells.grid.cell_m
    height, width = view.labels.ids.shape
    visible = observe_kernels.in_view(
        xy[:, 0], xy[:, 1], z_m[window.ids], view.camera_from_world, width, height, view.k, MARGIN_PX, reach_m
    )
    if shown is not None:
        visible &= shown[window.ids]
    index = np.full_like(window.index, -1)
    row, column = window.row[visible], window.column[visible]
    index[row, column] = np.arange(len(row), dtype=np.int32)
    return Window(ids=window.ids[visible], row=row, column=column, index=index, corner_m=window.corner_m)


def rays_and_target(view: View, window: Window, max_distance_m: float) -> tuple[Rays, Target] | None:
    """Return rays and targets of the pixels that show ground within reach, or None without such pixels."""
    height, width = view.labels.ids.shape
    up, reach_m = view.world_from_ego[:3, 2], view.reach_m(max_distance_m)
    rotation = np.ascontiguousarray(view.world_from_camera[:3, :3])
    usable, direction = ground_rays(view.labels.ids, np.linalg.inv(view.k), rotation, up, view.above_m, reach_m)
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
