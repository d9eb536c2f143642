"""The stages of an aggregate job that see all trips at once; the others are those of a label job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.artifact import atomic_folder, read, seal
from workers.executor import StageInput
from workers.spec import AggregateJob
from workers.stages import drive_of, leave


def align(given: StageInput) -> None:
    """Bring the trips together, and find out which do not fit."""
    from recon.align.align import align as run_align

    leave(run_align(_trips(given), given.config, given.tick), given)


def fit(given: StageInput) -> None:
    """Fit one surface to all trips that fit together."""
    from recon.align.align import aligned_trips
    from recon.fit import fit as run_fit

    trips = aligned_trips(_trips(given), _alignment(given))
    leave(run_fit(trips, given.config, given.tick), given)


def crop(given: StageInput) -> None:
    """Crop the site's map for one trip's keyframes; a trip that was left out gets no labels, and the reason."""
    from recon.align.alignment import aligned
    from recon.bev import BevMap
    from vectorize.labels import crop as run_crop
    from vectorize.road_map import RoadMap

    trip = _alignment(given).trips[given.trip]
    drive = aligned(drive_of(given), trip)
    provenance: dict[str, Any] = {"parents": given.parent_digests, "config": given.config_digest}
    if trip.left_out:
        drive, provenance = replace(drive, frames=()), provenance | {"left_out": trip.left_out}
    bev, road_map = read(BevMap, given.parents["bake"]), read(RoadMap, given.parents["trace"])
    leave(run_crop(drive, bev, road_map, given.config, given.tick, provenance=provenance), given)


def draw(given: StageInput) -> None:
    """Make what people look at: pictures, GeoJSON and the figures of the report."""
    from recon.align.align import aligned_trips
    from recon.bev import BevMap
    from vectorize.formats.geojson import write_geojson
    from vectorize.labels import LabelSet
    from vectorize.lanes import lane_summary
    from vectorize.pictures import draw as run_draw
    from vectorize.road_map import RoadMap
    from vectorize.summary import map_summary

    alignment = _alignment(given)
    drives = [trip.drive for trip in aligned_trips(_trips(given), alignment)]
    bev, road_map = read(BevMap, given.parents["bake"]), read(RoadMap, given.parents["trace"])
    labels = [read(LabelSet, given.parents[f"crop {t + 1}"]) for t in range(len(alignment.trips))]
    keyframes = [one.coverage for label_set in labels for one in label_set.labels]
    summary = {**map_summary(road_map), **lane_summary(road_map), "keyframes": len(keyframes)}
    summary["coverage"] = round(float(np.mean(keyframes)), 4) if keyframes else 0.0
    summary["trips"] = [trip.record() for trip in alignment.trips]
    with atomic_folder(given.folder) as scratch:
        pictures = scratch / "pictures"
        pictures.mkdir()
        run_draw(drives[0], bev, road_map, pictures)
        write_geojson(road_map, scratch / "map.geojson", name=" + ".join(drive.name for drive in drives))
        seal(
            scratch,
            kind="Publication",
            schema=1,
            meta={"summary": summary},
            parents=given.parent_digests,
            config=given.config_digest,
        )


def _trips(given: StageInput) -> list[Any]:
    from recon.drive import DriveLog
    from recon.segment.frame_labels import FrameLabels
    from recon.views import Trip

    assert isinstance(given.spec, AggregateJob)

    def folder(role: str, trip: int) -> Path:
        return given.parents[f"{role} {trip + 1}"]

    return [
        Trip(drive=read(DriveLog, folder("ingest", t)), labels=FrameLabels.open(folder("segment", t)))
        for t in range(len(given.spec.drives))
    ]


def _alignment(given: StageInput) -> Any:
    from recon.align.alignment import Alignment

    return read(Alignment, given.parents["align"])
