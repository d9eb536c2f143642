"""Settings of the mapper's training. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from recon.config import require
from training.data.config import DataConfig, SourceConfig
from training.engine.config import LoopConfig
from training.loss.config import LossConfig
from training.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class MapperConfig(LoopConfig):
    """How an online-mapping model is trained."""

    FREE: ClassVar[frozenset[str]] = LoopConfig.FREE | {"validation", "validate_samples", "draw_samples"}

    steps: int = 4000
    learning_rate: float = 6e-4
    backbone_rate: float = 0.1  # times the learning rate: a pretrained backbone moves slowly
    weight_decay: float = 0.01
    grad_clip: float = 35.0  # the sum over all layers is large: smaller limits scale every step
    validate_samples: int = 100  # at most, spread evenly over the held-out shards
    draw_samples: int = 3
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    validation: tuple[SourceConfig, ...] = ()  # held out: what is measured while it trains

    def __post_init__(self) -> None:
        # Not super(): @dataclass(slots=True) makes a new class, and super() would still refer to the old one.
        LoopConfig.__post_init__(self)
        require(0.0 <= self.backbone_rate <= 10.0, "backbone_rate must lie in 0..10")
        require(self.validate_samples >= 1, "validate_samples must be at least 1")
        require(0 <= self.draw_samples <= 50, "draw_samples must lie in 0..50")
