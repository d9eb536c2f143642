"""The true map of any drive that has one, whatever format it came in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from recon.drive import DriveLog
from vectorize.road_map import RoadMap
from vectorize.truth.argoverse2_truth import read_argoverse2_truth
from vectorize.truth.nuscenes_truth import read_nuscenes_truth
from vectorize.truth.true_map_reader import read_true_map


def truth_of(drive: DriveLog) -> RoadMap | None:
    """Return the true map in the drive's world; None where the drive has none.

    Raises InputInvalid naming the file and the faulty element.
    """
    path = PurePosixPath(drive.true_map)
    if not drive.true_map:
        return None
    if path.name.startswith("log_map_archive_"):
        return read_argoverse2_truth(drive.root, drive.true_map)
    if path.parent.name == "expansion":
        return read_nuscenes_truth(drive)
    return replace(read_true_map(drive.root / drive.true_map), origin=drive.origin)
