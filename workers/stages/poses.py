"""The poses that labels are cropped by: those that the surface was fitted with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recon.align.pose_deltas import posed
from recon.artifact import read_manifest
from recon.drive import DriveLog
from recon.heights.mount import mounted
from recon.surface.road_surface import RoadSurface
from workers.stages.folder import drive_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def posed_drive(given: StageInput) -> DriveLog:
    """Return the drive with the poses of its surface; a drive of a site has been placed already."""
    drive = drive_of(given)
    report = surface_report(given)
    return mounted(posed(drive, report), report)


def surface_report(given: StageInput) -> dict[str, Any]:
    """Return the report of the job's surface, empty without one among the parents."""
    if "fit" not in given.parents:
        return {}
    surface = read_manifest(given.parents["fit"], kind=RoadSurface.kind, schema=RoadSurface.schema, verify=False)
    return dict(surface.meta["report"])
