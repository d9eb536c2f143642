"""Settings of a snapshot. Loads nothing heavy, since job specs nest them."""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.config import require
from vectorize.labels.class_ids import CLASS_TYPE

SPLITS = ("train", "validation", "test")  # from the common to the rare


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """Which share of the ground is held out; the same in every snapshot of a dataset."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        shares = (self.validation, self.test)
        require(all(0.0 <= share <= 1.0 for share in shares), "splits: a share must lie in 0..1")
        require(sum(shares) <= 1.0, "splits.validation and splits.test must not exceed 1 together")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterConfig:
    """Which samples a snapshot keeps; the defaults keep all."""

    min_coverage: float = 0.0  # known share of the patch
    min_confidence: float = 0.0  # mean over the vertices of a sample; one without elements has none and is kept
    classes: tuple[str, ...] = ()  # only samples with an element of one of these
    bounds_deg: tuple[float, ...] = ()  # west, south, east, north: only samples whose place lies inside

    def __post_init__(self) -> None:
        require(0.0 <= self.min_coverage <= 1.0, "filters.min_coverage must lie in 0..1")
        require(0.0 <= self.min_confidence <= 1.0, "filters.min_confidence must lie in 0..1")
        unknown = set(self.classes) - set(CLASS_TYPE)
        require(not unknown, f"filters.classes: {', '.join(sorted(unknown))} is none of {', '.join(CLASS_TYPE)}")
        bounds = self.bounds_deg
        require(len(bounds) in (0, 4), "filters.bounds_deg must be west, south, east, north")
        if bounds:
            inside = -180 <= bounds[0] < bounds[2] <= 180 and -90 <= bounds[1] < bounds[3] <= 90
            require(inside, "filters.bounds_deg must be west < east in -180..180 and south < north in -90..90")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotConfig:
    """What a snapshot of a dataset keeps, and how it is split."""

    dataset: str
    splits: SplitConfig = field(default_factory=SplitConfig)
    filters: FilterConfig = field(default_factory=FilterConfig)
