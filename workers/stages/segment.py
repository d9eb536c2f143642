"""The stage segment: every image of a drive becomes class ids and confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.segment.segment import segment as run_segment
from workers.stages.folder import drive_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def segment(given: StageInput) -> None:
    """Label every image; the folder keeps finished images between attempts."""
    run_segment(
        drive_of(given),
        given.config,
        given.folder,
        given.tick,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )
