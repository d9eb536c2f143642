"""How much memory images take at least: a stage is refused before its work is lost."""

from __future__ import annotations

from collections.abc import Sequence

from recon.classes import CLASS_COUNT
from recon.config import SegmentConfig
from recon.drive import DriveLog
from recon.errors import MemoryShort

BASE_MB = 170.0  # libraries and the drive
IMAGES_AHEAD = 8  # decoded while others are worked on
PIXEL_BYTES = 8.0  # of one of them: colours, two classes and their confidence
SCORE_BYTES = 4.0  # of a class of a pixel that a net is asked for


def images_mb(drives: Sequence[DriveLog], bytes_of_pixel: float = IMAGES_AHEAD * PIXEL_BYTES) -> float:
    """Return the memory in MB of the largest images at so many bytes a pixel."""
    pixels = max((camera.width_px * camera.height_px for drive in drives for camera in drive.cameras), default=0)
    return pixels * bytes_of_pixel / 1e6


def check_segment(drive: DriveLog, config: SegmentConfig, limit_mb: float) -> None:
    """Raise MemoryShort if the images cannot be segmented within `limit_mb`; what the net itself takes comes on top."""
    scores = 0.0 if config.backend == "id_images" else config.batch * CLASS_COUNT * SCORE_BYTES
    need_mb = BASE_MB + images_mb([drive], IMAGES_AHEAD * PIXEL_BYTES + scores)
    first = "Set segment.batch to 1, or scale" if scores and config.batch > 1 else "Scale"
    refuse_beyond(limit_mb, need_mb, "segment", f"{first} the images and the calibration down.")


def refuse_beyond(limit_mb: float, need_mb: float, stage: str, hint: str) -> None:
    """Raise MemoryShort if a stage needs more than there is."""
    if need_mb > limit_mb:
        what = f"the stage needs about {need_mb:.0f} MB of memory, and there are {limit_mb:.0f} MB"
        raise MemoryShort(what, where=stage, hint=hint)
