"""The folders of a stage: the drive among its parents, and its sealed result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.artifact import Artifact, read, seal, write
from recon.drive import DriveLog

if TYPE_CHECKING:
    from workers.stage import StageInput


def drive_of(given: StageInput) -> DriveLog:
    """Return the drive that the stage works on."""
    return read(DriveLog, given.parents["ingest"])


def leave(artifact: Artifact, given: StageInput) -> None:
    """Write a stage's result."""
    write(artifact, given.folder, parents=given.parent_digests, config=given.config_digest)


def seal_files(scratch: Path, given: StageInput, kind: str, summary: dict[str, Any]) -> None:
    """Seal a folder of files for people and other tools; `summary` becomes a part of the job's report."""
    parents, config = given.parent_digests, given.config_digest
    seal(scratch, kind=kind, schema=1, meta={"summary": summary}, parents=parents, config=config)
