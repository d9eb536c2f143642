"""Settings of the loss. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from recon.config import require
from training.match.config import MatchConfig
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.road_map import AREA_CLASSES


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the terms, those of MapTRv2 by default; 0 leaves a term out."""

    class_weight: float = 2.0
    points_weight: float = 5.0
    direction_weight: float = 0.005
    raster_weight: float = 0.0  # MapVR: 15, with points_weight 1 and direction_weight 0.002; slow on a CPU
    bev_weight: float = 1.0
    views_weight: float = 2.0
    depth_weight: float = 3.0
    many_weight: float = 1.0  # times the terms of the one-to-many branch
    bev_positive_weight: float = 4.0  # of the cells of an element: most are empty
    raster_px: tuple[int, int] = (256, 128)  # rows and columns of the canvas of the raster term
    area_classes: tuple[str, ...] = tuple(sorted(AREA_CLASSES & CLASS_TYPE.keys()))  # their rings are areas, not lines
    mask_aware: bool = True  # False: everything counts as known, as in MapTRv2
    use_confidence: bool = False  # of a label's points, as their weight
    use_seen: bool = False
    match: MatchConfig = field(default_factory=MatchConfig)

    def __post_init__(self) -> None:
        for one in fields(self):
            if one.name.endswith("_weight"):
                require(0.0 <= getattr(self, one.name) <= 1e6, f"loss.{one.name} must lie in 0..1000000")
        require(self.class_weight > 0.0, "loss.class_weight must be positive: scores come from it alone")
        require(all(8 <= side <= 2048 for side in self.raster_px), "loss.raster_px must lie in 8..2048")
        unknown = [name for name in self.area_classes if name not in CLASS_TYPE]
        require(not unknown, f"loss.area_classes has {', '.join(unknown)}; known are {', '.join(CLASS_TYPE)}")
