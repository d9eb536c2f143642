"""The interface of all segmentation back ends, and what they make of the scores of a net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np

from recon.arrays import F32, U8, Bool
from recon.classes import CLASS_COUNT, ClassMap, RoadClass
from recon.segment.frame_labels import Labels

MOVING = CLASS_COUNT  # the plane after the road classes: all dynamic classes of the class map


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """The classes of one image."""

    labels: Labels
    dynamic: Bool | None = None  # (H, W) dynamic objects, if the model has such classes

    @classmethod
    def of_planes(cls, planes: F32) -> Self:
        """Return the two likeliest classes of (CLASS_COUNT + 1, H, W), which is overwritten, and what moves."""
        static, moving = planes[:CLASS_COUNT], planes[MOVING]
        dynamic = moving > static.max(axis=0)
        static[RoadClass.UNKNOWN] += moving
        return cls(labels=Labels.of_probability(static), dynamic=dynamic)


def fold(probability: F32, class_map: ClassMap) -> F32:
    """Return (CLASS_COUNT + 1, h, w) from the model's own (M, h, w): dynamic classes have the last plane."""
    folded = np.zeros((CLASS_COUNT + 1, *probability.shape[1:]), dtype=np.float32)
    for model_id, plane in enumerate(planes_of(class_map)):
        folded[plane] += probability[model_id]
    return folded


def planes_of(class_map: ClassMap) -> tuple[int, ...]:
    """Return the plane of each of the model's classes: its road class, or MOVING."""
    return tuple(MOVING if i in class_map.dynamic else int(target) for i, target in enumerate(class_map.targets))


class Segmenter(Protocol):
    """A model, or a substitute for one, that assigns a class to every pixel.

    The same images in the same order give the same bytes.
    """

    name: str
    weights_sha256: str  # empty if it has no weights
    source: Literal["pixels", "ids"]  # the input of `segment`: RGB (H, W, 3), or the drive's own ids (H, W)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return one Segmentation per image, of its size; raises ModelInvalid when the model's output is invalid."""
