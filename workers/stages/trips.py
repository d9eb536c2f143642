"""The trips of a stage: a label job has one, an aggregate job has several, and their stages are the same.

A stage of one trip names its parents by role, "ingest" and "segment". A stage of several trips numbers them from 1:
"place 1", "segment 1", "place 2", and so on. A drive of an aggregate job has been placed in the site's world.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.artifact import read
from recon.drive import DriveLog

if TYPE_CHECKING:
    from recon.views.views import Trip
    from workers.stage import StageInput


def folders_of(given: StageInput, *roles: str) -> list[Path]:
    """Return the parents in the first of `roles` that the stage has, in the order of the trips."""
    for role in roles:
        if role in given.parents:
            return [given.parents[role]]
        count = sum(name.startswith(f"{role} ") for name in given.parents)
        if count:
            return [given.parents[f"{role} {number}"] for number in range(1, count + 1)]
    raise KeyError(roles)


def drives_of(given: StageInput) -> list[DriveLog]:
    """Return every drive; one that was left out of its site has no frames."""
    return [read(DriveLog, folder) for folder in folders_of(given, "place", "ingest")]


def trips_of(given: StageInput) -> list[Trip]:
    """Return every drive with its labelled images."""
    from recon.segment.frame_labels import FrameLabels
    from recon.views.views import Trip

    labels = [FrameLabels.open(folder) for folder in folders_of(given, "segment")]
    return [Trip(drive=drive, labels=one) for drive, one in zip(drives_of(given), labels, strict=True)]
