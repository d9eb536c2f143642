"""Settings of the vectorization stages."""

from __future__ import annotations

from dataclasses import dataclass, field

from recon.config import require
from vectorize.trace_config import (
    BoundaryConfig,
    BridgeConfig,
    CrossingPairConfig,
    CrosswalkConfig,
    DividerConfig,
    GuideConfig,
    RidgeConfig,
    StopLineConfig,
    StyleConfig,
)

MOST_CELLS = 25_000_000  # of one keyframe's mask: more is a typing error, and would not fit a small machine


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfig:
    """How rasters become polylines; docs/tracing.md explains every setting."""

    simplify_m: float = 0.1
    bridge_gap_m: float = 9.0  # longest gap between dashes of one divider
    bridge_angle_deg: float = 10.0
    bridge_lateral_m: float = 0.3
    min_divider_m: float = 2.0
    min_boundary_m: float = 4.0
    min_crossing_m2: float = 2.0
    min_views: int = 1  # cells seen by fewer images count as unseen
    guided_gap_m: float = 40.0  # worn stretch of a line that a parallel line or boundary may carry it over; 0 = never
    boundary: BoundaryConfig = field(default_factory=BoundaryConfig)
    ridge: RidgeConfig = field(default_factory=RidgeConfig)
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    guide: GuideConfig = field(default_factory=GuideConfig)
    divider: DividerConfig = field(default_factory=DividerConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    crosswalk: CrosswalkConfig = field(default_factory=CrosswalkConfig)
    crossing_pair: CrossingPairConfig = field(default_factory=CrossingPairConfig)
    stop_line: StopLineConfig = field(default_factory=StopLineConfig)

    def __post_init__(self) -> None:
        require(0.0 <= self.guided_gap_m <= 200.0, "trace.guided_gap_m must lie in 0..200 m")
        require(0.0 < self.simplify_m <= 1.0, "trace.simplify_m must lie in 0..1 m")
        require(0.0 <= self.bridge_gap_m <= 50.0, "trace.bridge_gap_m must lie in 0..50 m")
        require(0.0 < self.bridge_angle_deg <= 90.0, "trace.bridge_angle_deg must lie in 0..90 degrees")
        require(0.0 < self.bridge_lateral_m <= 5.0, "trace.bridge_lateral_m must lie in 0..5 m")
        for name in ("min_divider_m", "min_boundary_m", "min_crossing_m2"):
            require(getattr(self, name) >= 0.0, f"trace.{name} must not be negative")
        require(self.min_views >= 1, "trace.min_views must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropConfig:
    """How the site map becomes one label per keyframe."""

    length_m: float = 60.0  # along the vehicle, x of the ego frame
    width_m: float = 30.0  # across, y of the ego frame
    mask_cell_m: float = 0.15
    min_views: int = 1  # cells seen by fewer images are not known

    def __post_init__(self) -> None:
        require(1.0 <= self.length_m <= 1000.0, "crop.length_m must lie in 1..1000 m")
        require(1.0 <= self.width_m <= 1000.0, "crop.width_m must lie in 1..1000 m")
        require(0.01 <= self.mask_cell_m <= 5.0, "crop.mask_cell_m must lie in 0.01..5 m")
        cells = self.length_m / self.mask_cell_m * (self.width_m / self.mask_cell_m)
        require(cells <= MOST_CELLS, f"crop.mask_cell_m gives masks of {cells:.0f} cells, {MOST_CELLS} at most")
        require(self.min_views >= 1, "crop.min_views must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackConfig:
    """How labels become shards."""

    samples_per_shard: int = 1000
    with_images: bool = False

    def __post_init__(self) -> None:
        require(1 <= self.samples_per_shard <= 1_000_000, "pack.samples_per_shard must lie in 1..1000000")
