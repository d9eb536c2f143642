"""The stage place: a drive moves into the world of its site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.align.alignment import Alignment, placed
from recon.artifact import read
from workers.stages.folder import drive_of, leave

if TYPE_CHECKING:
    from workers.stage import StageInput


def place(given: StageInput) -> None:
    """Correct the poses of a drive as the alignment found them; a drive that was left out keeps no frame."""
    leave(placed(drive_of(given), read(Alignment, given.parents["align"]), given.trip), given)
