"""The segmenter as a task of the training loop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from recon.arrays import U8
from recon.classes import CLASS_COUNT, COLORS_RGB, ClassMap
from recon.segment.checkpoint import PixelSpec
from recon.segment.mask2former import Mask2Former, load_net
from recon.segment.net_frame import NetFrame, size_of
from recon.segment.net_spec import class_map_path
from training.engine.loader import batches
from training.engine.process_group import ProcessGroup
from training.engine.task import Evaluation, Group
from training.segmenter.augment import Example, example_of, rarity
from training.segmenter.config import TrainConfig
from training.segmenter.criterion import Criterion
from training.segmenter.preset import net_config
from training.segmenter.score import score_of, spread
from training.segmenter.sources import Source, TrainingImage, digest_of

Tensor = torch.Tensor
Show = Callable[[dict[str, Any]], None]

_CANDIDATES = 4  # images, of which the one with the rarest paint is cropped
_DRAWN = 3  # held-out images that a validation draws


@dataclass(frozen=True, slots=True, eq=False)
class SegmenterBatch:
    """Crops with soft targets, all u8."""

    images: Tensor  # (B, 3, H, W)
    share: Tensor  # (B, K, h, w) of each class in a mask cell, 0..255
    valid: Tensor  # (B, h, w) how much of it is labelled


class SegmenterTask:
    """Trains Mask2Former on images with ids; see `training.engine.task.Task`."""

    def __init__(
        self, config: TrainConfig, training: Sequence[Source], validation: Sequence[Source], show: Show
    ) -> None:
        """Take settings, training data, held-out data, and a function that gets each validation's record."""
        self.spec = PixelSpec(size_px=config.size_px, class_map="roadscribe")
        self._config, self._training, self._show = config, training, show
        self._pool = [(source, image) for source in training for image in source.images]
        self._held = spread(validation, config.validate_images) if validation else []

    def net(self, device: torch.device) -> torch.nn.Module:
        """Return the net of the preset, or the one to fine-tune, with everything its loss needs."""
        net = _new_net(self._config).to(device, memory_format=torch.channels_last)
        if device.type == "cpu":
            _reorder_norms(net)
        self._device, self._stride = device, net.config.common_stride
        self._mean, self._std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (self.spec.mean, self.spec.std))
        self._criterion = Criterion(one_query_per_class=net.config.num_queries == CLASS_COUNT, device=device)
        return net  # type: ignore[no-any-return]

    def groups(self, net: torch.nn.Module) -> list[Group]:
        """Return parameter groups: backbone or not, decayed matrices or not."""
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in net.named_parameters():
            decays = parameter.ndim >= 2 and "embed" not in name
            groups.setdefault((".encoder." in name and "pixel_level_module" in name, decays), []).append(parameter)
        return [
            Group(parameters=parameters, rate=self._config.backbone_rate if backbone else 1.0, decays=decays)
            for (backbone, decays), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
        ]

    def data_digest(self) -> str:
        """Return a digest of the images that are learnt from."""
        return digest_of(list(self._training))

    def batches(self, first: int, group: ProcessGroup) -> Iterator[SegmenterBatch]:
        """Yield batches from step `first` on; raises ImageInvalid, naming the file, when an image is damaged."""
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        with closing(batches(self._example, self._config, first, group)) as made:
            for examples in made:
                yield SegmenterBatch(
                    torch.from_numpy(np.stack([e.image for e in examples])).permute(0, 3, 1, 2),
                    torch.from_numpy(np.stack([e.share for e in examples])),
                    torch.from_numpy(np.stack([e.valid for e in examples])),
                )

    def forward(self, net: torch.nn.Module, batch: SegmenterBatch) -> Any:
        """Return Mask2Former's output, that of its auxiliary layers included."""
        pixels = (batch.images.to(self._device).float() / 255.0 - self._mean) / self._std
        return net(pixel_values=pixels.contiguous(memory_format=torch.channels_last), output_auxiliary_logits=True)

    def terms(self, output: Any, batch: SegmenterBatch, group: ProcessGroup) -> Mapping[str, Tensor]:
        """Return the terms of `Criterion`."""
        share, valid = (part.to(self._device).float() / 255.0 for part in (batch.share, batch.valid))
        return self._criterion(output, share, valid)

    def evaluate(self, net: torch.nn.Module, step: int) -> Evaluation:
        """Return IoU per class and condition on the held-out images, and pictures of a few of them."""
        if not self._held:
            return Evaluation()
        class_map = ClassMap.load(class_map_path("roadscribe"))
        segmenter = Mask2Former.of_net(copy.deepcopy(net), self.spec, class_map, device=self._device)
        record = {name or "all": score.record() for name, score in score_of(segmenter, self._held).items()}
        scalars = {f"iou/{condition}/{name}": v for condition, r in record.items() for name, v in r["iou"].items()}
        scalars |= {f"iou/{condition}/road_mean": r["road_mean_iou"] for condition, r in record.items()}
        self._show({"step": step, **record})
        return Evaluation(scalars=scalars, pictures=_pictures(segmenter, self._held, self.spec.size_px))

    def _example(self, step: int, place: int) -> Example:
        random = np.random.default_rng((self._config.seed, step, place))
        candidates = [self._pool[int(i)] for i in random.integers(len(self._pool), size=_CANDIDATES)]
        source, chosen = candidates[0]
        if random.random() < self._config.paint_share:
            source, chosen = max(candidates, key=lambda one: rarity(one[0].read_ids(one[1])))
        image, ids = source.read(chosen)
        return example_of(image, ids, random, self._config, self._stride)


def _new_net(config: TrainConfig) -> Any:
    import transformers

    kind: Any = transformers.Mask2FormerForUniversalSegmentation
    if not config.start_from:
        return kind(net_config(config.preset))
    net = load_net(Path(config.start_from))
    if net.config.num_labels != CLASS_COUNT:
        # The queries keep what they have learnt of other classes; only the names of classes are learnt anew.
        names = net_config("tiny")
        net.class_predictor = torch.nn.Linear(net.config.hidden_dim, CLASS_COUNT + 1)
        net.config.id2label, net.config.label2id = names.id2label, names.label2id
        net.criterion = type(net.criterion)(config=net.config, weight_dict=net.weight_dict)
    return net


def _reorder_norms(net: torch.nn.Module) -> None:
    """Give group norms their channels first: its backward pass on a CPU takes ten times as long with channels last.

    A net that is not being trained (the averaged one) runs as it is.
    """
    for module in net.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.register_forward_pre_hook(lambda norm, given: (given[0].contiguous(),) if norm.training else None)
            module.register_forward_hook(
                lambda norm, _, made: made.contiguous(memory_format=torch.channels_last) if norm.training else None
            )


def _pictures(
    segmenter: Mask2Former, held: Sequence[tuple[Source, TrainingImage]], size_px: tuple[int, int]
) -> dict[str, U8]:
    """Return a few held-out images, each above its true classes and those the net gives, in the classes' colours."""
    pictures = {}
    for i in sorted({round(at) for at in np.linspace(0, len(held) - 1, _DRAWN)}):
        image, ids = held[i][0].read(held[i][1])
        given = segmenter.segment([image])[0].labels.ids
        true = np.where(ids < CLASS_COUNT, ids, 0)
        frame = NetFrame.of(size_of(image), size_px)
        rows = [frame.to_net(rows) for rows in (image, COLORS_RGB[true], COLORS_RGB[given])]
        pictures[f"held_{i}"] = np.concatenate(rows)
    return pictures
