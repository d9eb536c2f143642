"""The interface of all segmentation back ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from recon.arrays import U8, Bool
from recon.segment.frame_labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segmentation:
    """The classes of one image."""

    labels: Labels
    dynamic: Bool | None = None  # (H, W) dynamic objects, if the model has such classes


class Segmenter(Protocol):
    """A model, or a substitute for one, that assigns a class to every pixel.

    The same images in the same order give the same bytes.
    """

    name: str
    weights_sha256: str  # empty if it has no weights
    source: Literal["pixels", "ids"]  # the input of `segment`: RGB (H, W, 3), or the drive's own ids (H, W)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return one Segmentation per image, of its size; raises ModelInvalid when the model's output is invalid."""
