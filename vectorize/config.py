"""Settings of the stages crop and pack; those of trace are many, and stand in `vectorize.trace_config`."""

from __future__ import annotations

from dataclasses import dataclass

from recon.config import require
from vectorize.place_cells import WGS84

MOST_CELLS = 25_000_000  # of one keyframe's mask: more is a typing error, and would not fit a small machine


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
    with_ids: bool = False  # class ids of the images, for auxiliary heads
    with_depth: bool = False  # LiDAR depth of the images, where the keyframe has a sweep
    image_px: tuple[int, int] = (0, 0)  # width and height into which larger images are shrunk; 0, 0 = as recorded
    jpeg_quality: int = 90  # of shrunk images
    # Name of the local metres of drives without an origin, which they share; empty: each drive has its own, and the
    # drives of one aggregate job those of its first.
    local_frame: str = ""

    def __post_init__(self) -> None:
        require(1 <= self.samples_per_shard <= 1_000_000, "pack.samples_per_shard must lie in 1..1000000")
        sized = self.image_px == (0, 0) or all(16 <= side <= 8192 for side in self.image_px)
        require(sized, "pack.image_px must be 0, 0 or lie in 16..8192")
        require(50 <= self.jpeg_quality <= 100, "pack.jpeg_quality must lie in 50..100")
        require(self.local_frame != WGS84, f"pack.local_frame: {WGS84} is the frame of drives with an origin")
