"""The stage segment: every image of a drive becomes class ids and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.segment.segment import segment as run_segment
from workers.memory.limit import memory_limit_mb
from workers.memory.need import check_segment
from workers.stages.folder import drive_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def segment(given: StageInput) -> None:
    """Label every image; the folder keeps finished images between attempts."""
    drive = drive_of(given)
    check_segment(drive, given.config, memory_limit_mb())
    run_segment(
        drive,
        given.config,
        given.folder,
        given.tick,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )
