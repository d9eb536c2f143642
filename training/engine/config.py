"""Settings that every training has. Torch-free; a trainer's own config inherits them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from recon.config import require


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How the loop trains; a run that is resumed must be given the same settings, but for those in `FREE`.

    It may have another learning rate too. That makes it another run, so the rate is part of `identity`, and the log of
    the run names the change.
    """

    # What may change between the parts of a run: how long it is, what is watched, and where it computes.
    FREE: ClassVar[frozenset[str]] = frozenset(
        {"steps", "validate_every", "best", "save_every", "loader_threads", "threads", "device"}
    )

    steps: int
    batch: int = 4  # examples of a step, over all parts and workers
    accumulate: int = 1  # parts in which a worker takes its examples, for less memory; see `Task.terms`
    learning_rate: float  # its maximum, after the warm-up
    warmup_steps: int = 200
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)  # of Adam: short runs have no time for a second moment over 1,000 steps
    grad_clip: float = 1.0  # largest norm of all gradients together
    ema: float = 0.998  # of the weights: what is validated and exported; starts faster
    seed: int = 17
    validate_every: int = 500
    best: str = ""  # scalar of validation whose highest value chooses the net to keep; "-NAME": its lowest
    save_every: int = 200
    loader_threads: int = 2
    threads: int = 2  # of the net on a CPU
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the net's forward pass; auto: bfloat16 on CUDA only

    def __post_init__(self) -> None:
        require(1 <= self.steps <= 10_000_000, "train.steps must lie in 1..10000000")
        require(1 <= self.batch <= 256, "train.batch must lie in 1..256")
        require(0.0 < self.learning_rate <= 1.0, "train.learning_rate must lie in 0..1")
        require(len(self.betas) == 2, "train.betas must be two numbers")
        require(all(0.0 <= beta < 1.0 for beta in self.betas), "train.betas must lie in 0..1")
        require(0.0 <= self.ema < 1.0, "train.ema must lie in 0..1")
        require(self.warmup_steps >= 0 and self.grad_clip > 0, "train: warmup_steps and grad_clip must be positive")
        for name in ("accumulate", "validate_every", "save_every", "loader_threads", "threads"):
            require(getattr(self, name) >= 1, f"train.{name} must be at least 1")

    def identity(self) -> dict[str, Any]:
        """Return what must not change between the parts of a run; JSON, so that it equals what a file gives back."""
        return dict(json.loads(json.dumps({k: v for k, v in asdict(self).items() if k not in self.FREE})))
