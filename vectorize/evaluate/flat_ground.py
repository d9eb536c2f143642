"""Plain flat-ground projection (inverse perspective mapping), the baseline for a fitted surface.

The classes of each image are projected onto the ground plane of the vehicle at that moment. A cell sums the classes of
all images, weighted by pixels per square metre as in the fit. Nothing is optimised and no LiDAR is used. The height of
a cell is that of the ground plane of the nearest pose. Observed ground, masks, reach and tracing are those of the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, I64
from recon.bev.bev_map import BevMap
from recon.classes import CLASS_COUNT, RoadClass
from recon.drive import DriveLog
from recon.errors import NoRoadFound
from recon.grid import Grid
from recon.progress import Tick, silent
from recon.segment.frame_labels import FrameLabels
from recon.sensors.project import on_ground, project
from recon.views.views import reach_of
from vectorize.evaluate.reprojection import reprojection_error
from vectorize.road_map import RoadMap
from vectorize.trace.trace import trace
from vectorize.trace_config import TraceConfig

NEAREST_M = 1.0  # as in the fit: nearer points belong to the vehicle


def compare_with_flat_ground(
    drive: DriveLog,
    labels: FrameLabels,
    road_map: RoadMap,
    bev: BevMap,
    held_out: Sequence[int],
    *,
    max_distance_m: float,
    config: TraceConfig,
    tick: Tick = silent,
) -> dict[str, Any]:
    """Return the `reprojection_error` of a map and, in `flat_ground`, that of the flat-ground map."""
    flat = flat_ground(drive, labels, bev.grid, held_out, max_distance_m=max_distance_m, tick=tick)
    flat = replace(flat, views=np.where(bev.seen, flat.views, 0).astype(np.uint16))  # the same observed ground for both
    try:
        other = trace(flat, config)
    except NoRoadFound:
        other = RoadMap(elements=())
    ours = reprojection_error(drive, labels, road_map, held_out, bev=bev, beside=other, tick=tick)
    theirs = reprojection_error(drive, labels, other, held_out, bev=flat, beside=road_map, tick=tick)
    return {**ours, "flat_ground": theirs}


def flat_ground(
    drive: DriveLog,
    labels: FrameLabels,
    grid: Grid,
    held_out: Sequence[int],
    *,
    max_distance_m: float,
    tick: Tick = silent,
) -> BevMap:
    """Return the raster; pixels of class UNKNOWN and images of `held_out` frames are not used."""
    votes, weights = np.zeros((*grid.shape, CLASS_COUNT), np.float32), np.zeros(grid.shape, np.float32)
    views = np.zeros(grid.shape, np.uint16)
    images = {(image.frame, image.camera): image for image in labels.images if image.frame not in set(held_out)}
    for done, (index, frame, image) in enumerate(drive.images(), start=1):
        if (index, image.camera) not in images:
            continue
        image_labels, camera, pose = (
            labels.read(images[index, image.camera]),
            drive.camera(image.camera),
            frame.pose_of(image),
        )
        eye = (pose @ camera.ego_from_camera)[:3, 3]
        height_m = abs(camera.ego_from_camera[2, 3] - drive.ground_z_ego_m)
        reach_m = reach_of(float(camera.k[1, 1]), float(height_m), max_distance_m)
        rows, columns = _window(grid, eye[:2], reach_m)
        xy = grid.to_m(np.stack([columns, rows], axis=-1) + 0.5)
        points = on_ground(xy, pose, drive.ground_z_ego_m)
        uv, _, inside = project(camera, pose, points)
        distance = np.linalg.norm(points - eye, axis=1)
        inside &= (distance >= NEAREST_M) & (distance <= reach_m)
        u, v = np.floor(uv[inside]).astype(int).T
        clear = image_labels.ids[v, u] != RoadClass.UNKNOWN
        u, v, at = u[clear], v[clear], (rows[inside][clear], columns[inside][clear])
        weight = camera.k[0, 0] * camera.k[1, 1] * height_m / distance[inside][clear] ** 3
        first, second = image_labels.confidence[v, u] / 255.0, image_labels.runner_up_confidence[v, u] / 255.0
        second *= image_labels.runner_up[v, u] != RoadClass.UNKNOWN
        # No cell occurs twice in one image, so += with indices is exact.
        votes[(*at, image_labels.ids[v, u])] += weight * first / (first + second + 1e-9)
        votes[(*at, image_labels.runner_up[v, u])] += weight * second / (first + second + 1e-9)
        weights[at] += weight
        views[at] += 1
        tick(done, len(drive.frames) * len(drive.cameras), "images on flat ground")
    votes /= np.maximum(weights, 1e-12)[..., None]
    return BevMap(
        grid=grid,
        rgb=np.zeros((*grid.shape, 3), np.uint8),
        class_probability=votes.astype(np.float16),
        height_m=_heights(drive, grid),
        views=views,
        trips=(views > 0).astype(np.uint64),
    )


def _window(grid: Grid, centre_m: F64, reach_m: float) -> tuple[I64, I64]:
    """Return row and column (N,) of the cells in a square around a point."""
    corners = grid.to_px(centre_m + np.array([[-reach_m, reach_m], [reach_m, -reach_m]]))
    first = np.clip(np.floor(corners[0]), 0, (grid.width, grid.height)).astype(int)
    last = np.clip(np.ceil(corners[1]), 0, (grid.width, grid.height)).astype(int)
    columns, rows = np.meshgrid(np.arange(first[0], last[0]), np.arange(first[1], last[1]))
    return rows.ravel(), columns.ravel()


def _heights(drive: DriveLog, grid: Grid) -> F32:
    """Return (H, W) heights: in each cell that of the ground plane of the nearest pose."""
    centres = grid.centres().reshape(-1, 2)
    poses = [frame.world_from_ego for frame in drive.frames]
    nearest = np.asarray(cKDTree(np.array([pose[:2, 3] for pose in poses])).query(centres)[1])
    height = np.zeros(len(centres), np.float32)
    for number in np.unique(nearest):
        here = nearest == number
        height[here] = on_ground(centres[here], poses[number], drive.ground_z_ego_m)[:, 2]
    return height.reshape(grid.shape)
