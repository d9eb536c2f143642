"""Examples become one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from recon.arrays import U8, AnyArray
from recon.errors import ConfigInvalid
from training.data.example import CameraViews, Example
from training.data.rig import UNSEEN
from training.data.train_batch import Labels, TrainBatch, Views
from training.data.view_targets import NOT_LABELLED

Tensor = torch.Tensor


def collate(examples: Sequence[Example]) -> TrainBatch:
    """Return examples as a batch; samples with fewer cameras or elements are padded.

    Auxiliary targets are there if any example has them; the others count as not labelled. Raises ConfigInvalid for
    known masks of different sizes.
    """
    shapes = {one.known.shape for one in examples}
    if len(shapes) > 1:
        hint = "Label all drives with one crop.mask_cell_m."
        raise ConfigInvalid(f"known masks of different sizes: {sorted(shapes)}", where=examples[0].key, hint=hint)
    return TrainBatch(
        views=collate_views([one.views for one in examples]),
        labels=_labels(examples),
        world_from_ego=torch.from_numpy(np.stack([one.world_from_ego for one in examples])),
        keys=tuple(one.key for one in examples),
        drives=tuple(one.drive for one in examples),
        places=tuple(one.place for one in examples),
    )


def collate_views(views: Sequence[CameraViews]) -> Views:
    """Return the cameras of samples as a batch."""
    return Views(
        images=_images([one.images for one in views]),
        present=_stacked([one.present for one in views], 0),
        cell_uv=_stacked([one.cell_uv for one in views], UNSEEN),
        rays=_stacked([one.rays for one in views], 0),
        origins=_stacked([one.origins for one in views], 0),
        image_cells=_stacked([one.image_cells for one in views], 0),
    )


def _images(samples: Sequence[Sequence[U8 | None]]) -> Tensor:
    """Return images as (B, V, 3, H, W), black where there are none; in memory the channels stay last.

    Each image is written once, where it stays: fresh memory of this size costs more than decoding small images.
    """
    shape = next((image.shape for images in samples for image in images if image is not None), (0, 0, 3))
    whole = np.empty((len(samples), max(map(len, samples)), *shape), dtype=np.uint8)
    for plane, images in zip(whole, samples, strict=True):
        for i in range(len(plane)):
            image = images[i] if i < len(images) else None
            plane[i] = 0 if image is None else image
    return torch.from_numpy(whole).permute(0, 1, 4, 2, 3)


def _labels(examples: Sequence[Example]) -> Labels:
    targets = [one.targets for one in examples]
    weight = torch.tensor([one.weight for one in examples], dtype=torch.float32)
    return Labels(
        points=_stacked([one.points for one in targets], 0),
        classes=_stacked([one.classes for one in targets], -1),
        closed=_stacked([one.closed for one in targets], 0),
        seen=_stacked([one.seen for one in targets], 0),
        confidence=_stacked([one.confidence for one in targets], 0),
        known=_stacked([one.known for one in examples], 0),
        weight=weight,
        bev=_stacked([one.bev for one in targets], 0),
        views=_optional(examples, lambda one: one.view_targets, NOT_LABELLED),
        depth=_optional(examples, lambda one: one.depth, 0),
    )


def _optional(examples: Sequence[Example], part: Callable[[Example], AnyArray | None], missing: float) -> Tensor | None:
    """Return a target that only some examples have, or None."""
    parts = [part(one) for one in examples]
    found = next((one for one in parts if one is not None), None)
    if found is None:
        return None
    empty = np.full((0, *found.shape[1:]), missing, found.dtype)
    return _stacked([empty if one is None else one for one in parts], missing, least=_most_views(examples))


def _most_views(examples: Sequence[Example]) -> int:
    return max(len(one.views.present) for one in examples)


def _stacked(parts: Sequence[AnyArray], padding: float, *, least: int = 0) -> Tensor:
    """Return arrays (N_b, ...) as one tensor (B, N, ...), the shorter ones padded."""
    count = max(least, *(len(part) for part in parts)) if len(parts) > 1 else max(least, len(parts[0]))
    whole = np.empty((len(parts), count, *parts[0].shape[1:]), dtype=parts[0].dtype)
    for i, part in enumerate(parts):
        whole[i, : len(part)] = part
        whole[i, len(part) :] = padding
    return torch.from_numpy(whole)
