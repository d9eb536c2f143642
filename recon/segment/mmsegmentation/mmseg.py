"""The back end for mmsegmentation's Mask2Former: a checkpoint NAME.pth and its configuration NAME.py beside it.

The configuration is read as data, never run (`mmseg_files`), only registered types are built, and the
checkpoint is loaded with `weights_only`: neither can run code of its own. But they decide what is built and how large,
so a service takes models from its own roots only.

The `seg_logits` of a Mask2Former in mmsegmentation are not logits but sums over queries of softmax(class)[c] x
sigmoid(mask), "no object" left out. They are not negative and need not add up to one: as in the back end `mask2former`
we divide by their sum over classes, where a softmax would flatten them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from recon.arrays import U8
from recon.classes import ClassMap, RoadClass
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.mask2former import (
    device_of,
    dtype_of,
    fold_matrix,
    inference,
    segment_framed,
    segment_tiled,
)
from recon.segment.mmsegmentation.mmseg_files import Scale, find_files, read_config, scale_of
from recon.segment.mmsegmentation.mmseg_net import build_net, class_names, load_checkpoint, load_weights, quiet
from recon.segment.net_frame import size_of
from recon.segment.net_spec import class_map_path, of_movables
from recon.segment.segmenter import Segmentation

Tensor = torch.Tensor

_FLOOR = 1e-6  # of the sum over classes where no query claims a pixel


class MmsegMask2Former:
    """A Mask2Former of mmsegmentation."""

    source: Literal["pixels", "ids"] = "pixels"

    def __init__(self, config: SegmentConfig, movable: Sequence[str] | None = None) -> None:
        """Load the checkpoint `config.weights` and the configuration beside it.

        With `movable` it only looks for these classes (`of_movables`).

        Raises ModelInvalid when the packages are missing, or a file is missing, foreign or does not fit the class map;
        ConfigInvalid when this machine lacks the device or a tile has no size.
        """
        files = find_files(Path(config.weights))
        self._where = str(files.weights)
        self._device = device_of(config.device)
        self._dtype = dtype_of(config.dtype, self._device)
        body = read_config(files.config)
        given = None if config.size_px is None else Scale(size_px=config.size_px, keep_ratio=False)
        self._scale = given or scale_of(body, where=str(files.config))
        if config.tile and self._scale is None:
            raise ConfigInvalid("segment.tile needs a size of tiles", hint="Set segment.size_px.")
        class_map = ClassMap.load(class_map_path(config.class_map))
        net = build_net(body, where=str(files.config))
        checkpoint = load_checkpoint(files.weights)
        names = class_names(checkpoint)
        class_map = with_unlabelled(class_map, names)
        class_map = class_map if movable is None else of_movables(class_map, movable)
        self._fold = fold_matrix(class_map, net.num_classes, where=self._where).to(self._device)
        check_names(class_map, names, where=self._where)
        load_weights(net, checkpoint, where=self._where)
        self._net = net.to(self._device)
        self._batch, self._tile, self._overlap_px = config.batch, config.tile, config.tile_overlap_px
        self.name = f"mmseg:{files.weights.stem}+{class_map.name}.{class_map.version}"
        self.weights_sha256 = files.digest

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return classes of RGB images (H, W, 3) of any size; ModelInvalid when the net returns NaN or infinity."""
        with inference(self._device, self._dtype):
            if self._tile and self._scale:
                size, overlap = self._scale.size_px, self._overlap_px
                return [segment_tiled(image, size, overlap, self._probability, self._device) for image in images]
            results: list[Segmentation] = []
            for group in _of_one_size(images):
                size = self._scale.of(*size_of(group[0])) if self._scale else size_of(group[0])
                results += segment_framed(group, [size] * len(group), self._probability)
            return results

    def _probability(self, images: Sequence[U8]) -> Iterator[Tensor]:
        """Yield (CLASS_COUNT + 1, h, w) of images of one size, at that size."""
        for start in range(0, len(images), self._batch):
            yield from self._fold_scores(self._scores(images[start : start + self._batch]))

    def _scores(self, images: Sequence[U8]) -> Tensor:
        """Return mmsegmentation's own scores (B, M, h, w), of whole images or sliding windows, as configured."""
        from mmseg.structures import SegDataSample

        height, width = images[0].shape[:2]
        # mmsegmentation reads images as BGR; its preprocessor reorders, normalises and pads them as in training.
        planes = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))) for image in images]
        batch = self._net.data_preprocessor({"inputs": planes, "data_samples": [SegDataSample() for _ in planes]})
        shape = tuple(batch["inputs"].shape[2:])
        # Without a `pad_shape`, which the head would use instead of the size of a sliding window.
        metas = [{"ori_shape": shape, "img_shape": shape} for _ in planes]
        with quiet():
            scores: Tensor = self._net.inference(batch["inputs"], metas)
        return scores[..., :height, :width].float()  # padding lies to the right and below

    def _fold_scores(self, scores: Tensor) -> Tensor:
        if not bool(torch.isfinite(scores).all()):
            hint = "Check the weights; with float16 try segment.dtype=bfloat16 or float32."
            raise ModelInvalid("the net returns NaN or infinity", where=self._where, hint=hint)
        total = torch.einsum("bmhw,mk->bkhw", scores.clamp_min(0.0), self._fold)
        total = total + _FLOOR / self._fold.shape[1]
        return total / total.sum(dim=1, keepdim=True)


def with_unlabelled(class_map: ClassMap, names: Sequence[str]) -> ClassMap:
    """Return the class map with a last class for unlabelled pixels, where only the checkpoint has one.

    mmsegmentation trains Vistas v1.2 with 66 classes, of which the last is not a class of the data set.
    """
    if len(names) != len(class_map.names) + 1 or _plain(names[-1]) != "unlabeled":
        return class_map
    targets = (*class_map.targets, RoadClass.UNKNOWN)
    return replace(class_map, names=(*class_map.names, names[-1]), targets=targets)


def check_names(class_map: ClassMap, names: Sequence[str], *, where: str) -> None:
    """Raise ModelInvalid when the checkpoint names its classes and the class map has other names."""
    for model_id, (theirs, ours) in enumerate(zip(names, class_map.names, strict=False)):
        if _plain(theirs) != _plain(ours):
            message = f"class {model_id} is {theirs!r} in the checkpoint and {ours!r} in the class map {class_map.name}"
            raise ModelInvalid(message, where=where, hint="Use the class map that belongs to these weights.")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _of_one_size(images: Sequence[U8]) -> Iterator[list[U8]]:
    """Yield runs of neighbours of one size: cameras of a rig may differ, a batch must not."""
    group: list[U8] = []
    for image in images:
        if group and group[0].shape != image.shape:
            yield group
            group = []
        group.append(image)
    if group:
        yield group
