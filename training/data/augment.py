"""What training changes in a sample at random: images, geometry and labels together, so that they still agree."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from recon.arrays import U8
from training.data.config import AugmentConfig
from training.data.example import CameraViews, Example
from training.data.rig import UNSEEN

_GAMMA, _CONTRAST, _BRIGHTNESS, _TINT = 0.3, 0.25, 0.1, 0.06  # half widths of the changes at strength 1
_OF_CAMERA = 0.3  # how much of a change each camera has of its own: cameras expose apart, but see one light


def augmented(example: Example, config: AugmentConfig, random: np.random.Generator) -> Example:
    """Return the sample with other colours, perhaps mirrored, perhaps without some cameras."""
    mirror, lost = random.random() < config.mirror, random.random(len(example.views.present)) < config.drop_camera
    if config.color > 0.0:
        example = replace(example, views=replace(example.views, images=repainted(example.views, config.color, random)))
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
            images=views.images[:, :, ::-1],
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


def without_cameras(example: Example, lost: np.typing.NDArray[np.bool_], random: np.random.Generator) -> Example:
    """Return the sample as if the cameras `lost` (V,) had failed; one that is present always stays."""
    views = example.views
    left = np.flatnonzero(views.present & ~lost)
    if not len(left):
        every = np.flatnonzero(views.present)
        left = random.choice(every, 1) if len(every) else every
    gone = np.ones(len(lost), dtype=bool)
    gone[left] = False
    images, uv, cells = views.images.copy(), views.cell_uv.copy(), views.image_cells.copy()
    images[gone], uv[gone], cells[gone] = 0, UNSEEN, False
    return replace(
        example, views=replace(views, images=images, cell_uv=uv, image_cells=cells, present=views.present & ~gone)
    )


def repainted(views: CameraViews, strength: float, random: np.random.Generator) -> U8:
    """Return the images with another contrast, brightness and tint: one change for the rig, a smaller one a camera."""
    limits = strength * np.array([_GAMMA, _CONTRAST, _BRIGHTNESS, _TINT, _TINT, _TINT])
    rig = random.uniform(-limits, limits)
    levels = np.linspace(0.0, 1.0, 256)
    images = views.images.copy()
    for i in np.flatnonzero(views.present):
        gamma, contrast, brightness, *tint = rig + _OF_CAMERA * random.uniform(-limits, limits)
        curve = (levels ** np.exp(gamma) - 0.5) * np.exp(contrast) + 0.5 + brightness
        table = np.clip(curve[:, None] * np.exp(tint) * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
        cv2.LUT(images[i], table[None], dst=images[i])
    return images
