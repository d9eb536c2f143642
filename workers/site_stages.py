"""The stages of an aggregate job that see all trips at once; the others are those of a label job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recon.artifact import atomic_folder, read
from recon.errors import ConfigInvalid
from workers.executor import StageInput
from workers.spec import AggregateJob
from workers.stages import PICTURE_CELLS, drive_of, leave, seal_files

if TYPE_CHECKING:
    from recon.views.views import Trip


def align(given: StageInput) -> None:
    """Bring the trips together, and find out which do not fit."""
    from recon.align.align import align as run_align

    first: dict[str, str] = {}
    for role, digest in given.parent_digests.items():
        if role.startswith("ingest") and first.setdefault(digest, role) != role:
            numbers = " and ".join(name.split(" ")[1] for name in (first[digest], role))
            hint = "Name every drive once: a trip beside itself proves nothing."
            raise ConfigInvalid(f"drives {numbers} are the same", where="drives", hint=hint)
    leave(run_align(_trips(given, "ingest"), given.config, given.tick), given)


def place(given: StageInput) -> None:
    """Put a drive into the site's world, its poses corrected; one that was left out keeps no frame."""
    from recon.align.alignment import Alignment, placed

    leave(placed(drive_of(given), read(Alignment, given.parents["align"]), given.trip), given)


def fit(given: StageInput) -> None:
    """Fit one surface to all trips that fit together."""
    from recon.fit.fit import fit as run_fit

    trips = [trip for trip in _trips(given, "place") if trip.drive.frames]
    leave(run_fit(trips, given.config, given.tick, scratch=given.folder.parent), given)


def trace(given: StageInput) -> None:
    """Trace the raster into a vector map that names the trips of its vertices."""
    from recon.bev.bev_map import BevBlocks
    from recon.drive import DriveLog
    from vectorize.trace.trace_site import trace_site

    assert isinstance(given.spec, AggregateJob)
    drives = [read(DriveLog, given.parents[f"place {t + 1}"]) for t in range(len(given.spec.drives))]
    names = [drive.name for drive in drives if drive.frames]  # in the order of `fit`, which gave them their bits
    bev = read(BevBlocks, given.parents["bake"], mapped=True)
    leave(trace_site(bev, given.config, origin=drives[0].origin, trips=names, tick=given.tick), given)


def draw(given: StageInput) -> None:
    """Make what people look at: pictures, GeoJSON and the figures of the report."""
    from recon.align.alignment import Alignment
    from recon.bev.bev_map import BevBlocks
    from recon.drive import DriveLog
    from vectorize.formats.geojson import write_geojson
    from vectorize.labels.label_set import LabelSet
    from vectorize.publish.lanes import lane_summary
    from vectorize.publish.pictures import draw as run_draw
    from vectorize.publish.summary import map_summary
    from vectorize.road_map import RoadMap

    alignment = read(Alignment, given.parents["align"])
    drives = [read(DriveLog, given.parents[f"place {t + 1}"]) for t in alignment.used]
    blocks = read(BevBlocks, given.parents["bake"], mapped=True)
    road_map = read(RoadMap, given.parents["trace"])
    labels = [read(LabelSet, given.parents[f"crop {t + 1}"]) for t in range(len(alignment.trips))]
    keyframes = [one.coverage for label_set in labels for one in label_set.labels]
    summary = {**map_summary(road_map), **lane_summary(road_map), "keyframes": len(keyframes)}
    summary["coverage"] = round(float(np.mean(keyframes)), 4) if keyframes else 0.0
    summary["trips"] = [trip.record() for trip in alignment.trips]
    with atomic_folder(given.folder) as scratch:
        pictures = scratch / "pictures"
        pictures.mkdir()
        run_draw(drives[0], blocks.coarser(PICTURE_CELLS), road_map, pictures)
        write_geojson(road_map, scratch / "map.geojson", name=" + ".join(drive.name for drive in drives))
        seal_files(scratch, given, "Publication", summary)


def _trips(given: StageInput, stage: str) -> list[Trip]:
    """Return every drive, as `stage` left it, with its labels."""
    from recon.drive import DriveLog
    from recon.segment.frame_labels import FrameLabels
    from recon.views.views import Trip

    assert isinstance(given.spec, AggregateJob)

    def folder(role: str, trip: int) -> Path:
        return given.parents[f"{role} {trip + 1}"]

    return [
        Trip(drive=read(DriveLog, folder(stage, t)), labels=FrameLabels.open(folder("segment", t)))
        for t in range(len(given.spec.drives))
    ]
