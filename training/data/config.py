"""Settings of the data of the online-mapping model. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from recon.config import require
from training.data.patch import PatchSize


class ModelShape(Protocol):
    """What of a model its data depend on; `training.model.config.ModelConfig` is one."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the element classes."""

    @property
    def points(self) -> int:
        """Return the number of points of an element."""

    @property
    def patch(self) -> PatchSize:
        """Return the patch."""

    @property
    def bev_px(self) -> tuple[int, int]:
        """Return rows and columns of the bird's-eye cells."""

    @property
    def heights_m(self) -> tuple[float, ...]:
        """Return heights above the ground at which cells are projected."""

    @property
    def image_px(self) -> tuple[int, int]:
        """Return width and height of the input."""

    @property
    def feature_px(self) -> tuple[int, int]:
        """Return rows and columns of the features of an image."""

    @property
    def feature_shift_px(self) -> float:
        """Return how far right of its cell's middle, and below it, a feature looks."""

    @property
    def lift(self) -> str:
        """Return ipm or lss; the second one learns depth."""

    @property
    def view_head(self) -> bool:
        """Return whether it learns what the images show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """What training changes at random in a sample; evaluation changes nothing."""

    mirror: float = 0.5  # probability that left and right change places, in images, geometry and labels alike
    color: float = 1.0  # strength of changes of contrast, brightness and tint; 0 = none
    drop_camera: float = 0.0  # probability, for each camera, of a sample without it; one always stays

    def __post_init__(self) -> None:
        require(0.0 <= self.mirror <= 1.0, "augment.mirror must lie in 0..1")
        require(0.0 <= self.color <= 3.0, "augment.color must lie in 0..3")
        require(0.0 <= self.drop_camera < 1.0, "augment.drop_camera must lie in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Shards of one kind: pseudo labels or true maps."""

    folders: tuple[str, ...]
    pictures: tuple[str, ...] = ()  # folders of shards with the images of these keyframes, where `folders` have none
    share: float = 1.0  # of the samples of a run, relative to the other sources
    weight: float = 1.0  # of the losses of these samples
    fraction: float = 1.0  # of the samples, chosen by place; smaller fractions lie inside larger ones

    def __post_init__(self) -> None:
        require(len(self.folders) >= 1, "data.folders must name at least one folder of shards")
        require(self.share > 0.0 and self.weight >= 0.0, "data: share must be positive, weight not negative")
        require(0.0 < self.fraction <= 1.0, "data.fraction must lie in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """What a run trains on."""

    sources: tuple[SourceConfig, ...] = ()  # may come from elsewhere; a run needs one at least
    cameras: tuple[str, ...] = ()  # names of the cameras to use; empty = all that a sample has
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = 0  # of the choice of samples, of places and of what is changed

    def __post_init__(self) -> None:
        require(len(set(self.cameras)) == len(self.cameras), "data.cameras names a camera twice")
        require(self.seed >= 0, "data.seed must not be negative")
