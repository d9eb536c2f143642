"""Settings of the segmenter's training. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recon.config import require


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """How a net is trained; a run that is resumed must be given the same settings, but for `steps`."""

    preset: Literal["small", "tiny"] = "small"  # the net, where none is fine-tuned
    start_from: str = ""  # checkpoint folder to fine-tune instead
    steps: int = 8000
    batch: int = 4
    size_px: tuple[int, int] = (512, 288)  # working width and height of whole images, when the net is used
    crop_px: tuple[int, int] | None = None  # of a training crop at that magnification; None: as large
    learning_rate: float = 2e-3  # for the small preset from random weights; fine-tuning wants 1e-4 or less
    backbone_rate: float = 1.0  # times the learning rate; 0.1 where a pretrained backbone is fine-tuned
    warmup_steps: int = 200
    weight_decay: float = 0.02
    grad_clip: float = 1.0
    ema: float = 0.998  # of the weights: what is validated and exported; starts faster
    paint_share: float = 0.7  # of crops that look for paint: it fills one pixel in thirty
    seed: int = 17
    validate_every: int = 500
    validate_images: int = 60
    save_every: int = 200
    loader_threads: int = 2
    threads: int = 2  # of the net on a CPU
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the net's forward pass; auto: bfloat16 on CUDA only

    def __post_init__(self) -> None:
        require(1 <= self.steps <= 10_000_000, "train.steps must lie in 1..10000000")
        require(1 <= self.batch <= 256, "train.batch must lie in 1..256")
        for name in ("size_px", "crop_px"):
            sizes = all(64 <= length <= 4096 and length % 32 == 0 for length in getattr(self, name) or ())
            require(sizes, f"train.{name} must be multiples of 32 in 64..4096 px")
        require(
            all(c <= s for c, s in zip(self.crop, self.size_px, strict=True)), "train.crop_px exceeds train.size_px"
        )
        require(0.0 < self.learning_rate <= 1.0, "train.learning_rate must lie in 0..1")
        require(0.0 <= self.ema < 1.0, "train.ema must lie in 0..1")
        require(self.warmup_steps >= 0 and self.grad_clip > 0, "train: warmup_steps and grad_clip must be positive")
        for name in ("validate_every", "validate_images", "save_every", "loader_threads", "threads"):
            require(getattr(self, name) >= 1, f"train.{name} must be at least 1")

    @property
    def crop(self) -> tuple[int, int]:
        """Return width and height of a training crop."""
        return self.crop_px or self.size_px
