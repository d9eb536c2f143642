"""What training changes in a sample at random: images, geometry and labels together, so that they still agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from recon.arrays import F64, U8, Bool
from training.data.config import AugmentConfig
from training.data.example import Example
from training.data.rig import UNSEEN
from training.data.view_targets import NOT_LABELLED

_CONTRAST, _BRIGHTNESS, _SATURATION, _TINT = 0.3, 0.12, 0.3, 0.06  # half widths of the changes at strength 1
_OF_CAMERA = 0.3  # how much of a change each camera has of its own: cameras expose apart, but see one light


def augmented(example: Example, config: AugmentConfig, random: np.random.Generator) -> Example:
    """Return the sample with other colours, perhaps mirrored, perhaps without some cameras."""
    mirror, lost = random.random() < config.mirror, random.random(len(example.views.present)) < config.drop_camera
    if config.color > 0.0:
        images = repainted(example.views.images, config.color, random)
        example = replace(example, views=replace(example.views, images=images))
    if lost.any():
        example = without_cameras(example, lost, random)
    return mirrored(example) if mirror else example


def mirrored(example: Example) -> Example:
    """Return the sample with left and right exchanged: images flipped, and y of the ego frame negated.

    No lens needs a model of its mirror image: the geometry is of cells and rays, which change places.
    `world_from_ego` stays that of the vehicle.
    """
    views, targets = example.views, example.targets
    uv = views.cell_uv[:, :, :, ::-1].copy()
    uv[..., 0] = np.where(uv[..., 0] == UNSEEN, UNSEEN, 1.0 - uv[..., 0])
    points = targets.points.copy()
    points[..., 0] = 1.0 - points[..., 0]
    y = np.array([1.0, -1.0, 1.0], dtype=np.float32)
    return replace(
        example,
        views=replace(
            views,
            images=tuple(None if image is None else _flipped(image) for image in views.images),
            cell_uv=uv,
            rays=views.rays[:, :, ::-1] * y,
            origins=views.origins * y,
            image_cells=views.image_cells[:, :, ::-1],
        ),
        targets=replace(targets, points=points, bev=targets.bev[:, :, ::-1]),
        known=example.known[:, ::-1],
        view_targets=None if example.view_targets is None else example.view_targets[..., ::-1],
        depth=None if example.depth is None else example.depth[..., ::-1],
    )


def _flipped(image: U8) -> U8:
    # A view that runs backwards would be copied pixel by pixel, ten times as slowly.
    return np.asarray(cv2.flip(image, 1), dtype=np.uint8) if image.size else image


def without_cameras(example: Example, lost: Bool, random: np.random.Generator) -> Example:
    """Return the sample as if the cameras `lost` (V,) had failed; one that is present always stays."""
    views = example.views
    left = np.flatnonzero(views.present & ~lost)
    if not len(left):
        every = np.flatnonzero(views.present)
        left = random.choice(every, 1) if len(every) else every
    gone = np.ones(len(lost), dtype=bool)
    gone[left] = False
    images = tuple(None if is_gone else image for image, is_gone in zip(views.images, gone, strict=True))
    uv, cells = views.cell_uv.copy(), views.image_cells.copy()
    uv[gone], cells[gone] = UNSEEN, False
    # A head that labels images, or measures depth, must not learn from a black one.
    view_targets, depth = example.view_targets, example.depth
    if view_targets is not None:
        view_targets = view_targets.copy()
        view_targets[gone] = NOT_LABELLED
    if depth is not None:
        depth = depth.copy()
        depth[gone] = 0.0
    views = replace(views, images=images, cell_uv=uv, image_cells=cells, present=views.present & ~gone)
    return replace(example, views=views, view_targets=view_targets, depth=depth)


def repainted(images: Sequence[U8 | None], strength: float, random: np.random.Generator) -> tuple[U8 | None, ...]:
    """Return the images with other colours: one change for the rig, a smaller one for each camera."""
    limits = strength * np.array([_CONTRAST, _BRIGHTNESS, _SATURATION, _TINT, _TINT, _TINT])
    rig = random.uniform(-limits, limits)
    changes = [rig + _OF_CAMERA * random.uniform(-limits, limits) for _ in images]
    return tuple(
        None if image is None else np.asarray(cv2.transform(image, _color_matrix(change)), dtype=np.uint8)
        for image, change in zip(images, changes, strict=True)
    )


def _color_matrix(change: F64) -> F64:
    """Return the matrix (3, 4) that changes contrast, brightness, saturation and the tint of RGB; OpenCV clips."""
    contrast, brightness, saturation, *tint = change
    gray = np.full((3, 3), 1.0 / 3.0)
    mixed = np.exp(saturation) * (np.eye(3) - gray) + gray
    matrix = np.diag(np.exp(tint)) @ mixed * np.exp(contrast)
    middle = 127.5 * (1.0 - np.exp(contrast)) + 255.0 * brightness  # contrast turns about middle grey
    result: F64 = np.c_[matrix, np.full(3, middle)]
    return result
