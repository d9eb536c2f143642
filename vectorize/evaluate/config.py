"""Settings of the evaluation; the defaults are those of the MapTR family, so that numbers can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from recon.config import require
from vectorize.road_map import ElementClass, Style

CLASSES: tuple[ElementClass, ...] = ("divider", "ped_crossing", "boundary", "stop_line")
MEAN_CLASSES: tuple[ElementClass, ...] = ("divider", "ped_crossing", "boundary")  # of mAP, as published
AREAS: tuple[ElementClass, ...] = ("ped_crossing",)  # polygons; a closed boundary is a line
STYLES = get_args(Style)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """Thresholds and sampling of the metrics."""

    thresholds_m: tuple[float, ...] = (0.5, 1.0, 1.5)
    samples: int = 100  # points per element for Chamfer and Frechet distance
    ring_samples: int = 41  # points per element where one of two is closed: fewer, since every shift is tried
    buffer_m: float = 2.0  # MapTR compares only elements whose buffers of this width intersect
    raster_cell_m: float = 0.125  # MapVR: 480 x 240 pixels for 60 x 30 m
    raster_line_px: int = 5
    raster_min_score: float = 0.05
    raster_most: int = 100  # predictions per class and patch, as in COCO
    # Unknown stretches up to this length do not cut an element. Otherwise a hole of a few cells would split one line
    # into two, and split truth and prediction at different places.
    join_gap_m: float = 1.0
    fill_holes: bool = False  # of the observed area, as where a data set has an outline of it only, such as Argoverse 2
    join_styles: bool = False  # of dividers of both sides: one line runs on where its style changes
    step_m: float = 0.5  # between the points at which lines are compared by length

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.thresholds_m, self.thresholds_m[1:], strict=False))
        require(
            bool(self.thresholds_m) and self.thresholds_m[0] > 0 and rising, "evaluate.thresholds_m must rise from > 0"
        )
        require(2 <= self.samples <= 1000, "evaluate.samples must lie in 2..1000")
        require(4 <= self.ring_samples <= 200, "evaluate.ring_samples must lie in 4..200")
        require(0.01 <= self.raster_cell_m <= 5.0, "evaluate.raster_cell_m must lie in 0.01..5 m")
        require(self.raster_line_px >= 1 and self.raster_line_px % 2 == 1, "evaluate.raster_line_px must be odd")
        require(0.0 <= self.join_gap_m <= 50.0, "evaluate.join_gap_m must lie in 0..50 m")
        require(0.01 <= self.step_m <= 5.0, "evaluate.step_m must lie in 0.01..5 m")
        require(self.buffer_m > 0 and self.raster_most >= 1, "evaluate.buffer_m and raster_most must be positive")

    @property
    def reach_m(self) -> float:
        """Return the widest threshold: pairs farther apart never match."""
        return self.thresholds_m[-1]
