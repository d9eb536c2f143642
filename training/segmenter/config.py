"""Settings of the segmenter's training. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from recon.config import require
from training.engine.config import LoopConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(LoopConfig):
    """How a segmenter is trained."""

    FREE: ClassVar[frozenset[str]] = LoopConfig.FREE | {"validate_images"}

    preset: Literal["small", "tiny"] = "small"  # the net, where none is fine-tuned
    start_from: str = ""  # checkpoint folder to fine-tune instead
    steps: int = 8000
    size_px: tuple[int, int] = (512, 288)  # working width and height of whole images, when the net is used
    crop_px: tuple[int, int] | None = None  # of a training crop at that magnification; None: as large
    learning_rate: float = 2e-3  # for the small preset from random weights; fine-tuning needs 1e-4 or less
    backbone_rate: float = 1.0  # times the learning rate; 0.1 where a pretrained backbone is fine-tuned
    paint_share: float = 0.7  # of crops chosen for their paint: it fills one pixel in thirty
    validate_images: int = 60

    def __post_init__(self) -> None:
        # Not super(): @dataclass(slots=True) makes a new class, and super() would still refer to the old one.
        LoopConfig.__post_init__(self)
        for name in ("size_px", "crop_px"):
            sizes = all(64 <= length <= 4096 and length % 32 == 0 for length in getattr(self, name) or ())
            require(sizes, f"train.{name} must be multiples of 32 in 64..4096 px")
        require(
            all(c <= s for c, s in zip(self.crop, self.size_px, strict=True)), "train.crop_px exceeds train.size_px"
        )
        require(self.validate_images >= 1, "train.validate_images must be at least 1")

    @property
    def crop(self) -> tuple[int, int]:
        """Return width and height of a training crop."""
        return self.crop_px or self.size_px
