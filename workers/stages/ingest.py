"""The stage ingest: a recorded drive becomes a DriveLog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.formats.read_drive import read_drive
from workers.stages.folder import leave

if TYPE_CHECKING:
    from workers.stage import StageInput


def ingest(given: StageInput) -> None:
    """Read the drive that the config names, and the sha256 of its images."""
    one = given.config
    leave(read_drive(Path(one.drive), format=one.format, scene=one.scene, sweeps=one.sweeps, tick=given.tick), given)
