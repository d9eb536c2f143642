"""What every segmentation back end offers."""

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
    dynamic: Bool | None = None  # (H, W) objects that move, where the model knows them


class Segmenter(Protocol):
    """A model, or a stand-in for one, that gives every pixel a class.

    The same images in the same order give the same bytes.
    """

    name: str
    weights_sha256: str  # empty where there are no weights
    source: Literal["pixels", "ids"]  # what `segment` is given: RGB (H, W, 3), or the drive's own ids (H, W)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return one Segmentation per image, of its size; raises ModelInvalid when the model gives nonsense."""
