"""The stage ingest: a recorded drive becomes a DriveLog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.files import kept_open
from recon.formats.read_drive import read_drive
from workers.stages.folder import leave

if TYPE_CHECKING:
    from workers.stage import StageInput


def ingest(given: StageInput) -> None:
    """Read the drive that the config names, and the sha256 of its images.

    The path holds no links. One that came since it was checked is refused: it could lead out of the allowed roots.
    """
    one = given.config
    path = Path(one.drive)
    with kept_open(path):
        leave(read_drive(path, format=one.format, scene=one.scene, sweeps=one.sweeps, tick=given.tick), given)
