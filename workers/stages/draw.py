"""The stage draw: pictures, GeoJSON and the figures of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon.align.alignment import Alignment
from recon.align.groups import ground_of
from recon.artifact import atomic_folder, read, read_manifest
from recon.bev.bev_map import BevBlocks
from recon.drive import DriveLog
from recon.segment.frame_labels import FrameLabels
from recon.surface.road_surface import RoadSurface
from recon.views.views import held_out
from vectorize.evaluate.flat_ground import compare_with_flat_ground
from vectorize.evaluate.reprojection import reprojection_error
from vectorize.formats.geojson import write_geojson
from vectorize.labels.label_set import LabelSet
from vectorize.publish.lanes import lane_summary
from vectorize.publish.pictures import draw as run_draw
from vectorize.publish.summary import map_summary
from vectorize.road_map import RoadMap
from workers.stages.folder import seal_files
from workers.stages.poses import posed_drive, surface_report
from workers.stages.trips import folders_of

if TYPE_CHECKING:
    from workers.stage import StageInput

PICTURE_CELLS = 8_000_000  # a picture of 2000 px shows no more; a larger site is drawn with larger cells
COMPARED_CELLS = 16_000_000  # flat ground needs all classes of the whole raster at once: 80 bytes a cell


def draw(given: StageInput) -> None:
    """Make pictures, GeoJSON and the figures of the report."""
    blocks = read(BevBlocks, given.parents["bake"], mapped=True)
    road_map = read(RoadMap, given.parents["trace"])
    coverage = [one.coverage for folder in folders_of(given, "crop") for one in read(LabelSet, folder).labels]
    summary = {**map_summary(road_map), **lane_summary(road_map), "keyframes": len(coverage)}
    summary["coverage"] = round(float(np.mean(coverage)), 4) if coverage else 0.0
    if "align" in given.parents:
        alignment = read(Alignment, given.parents["align"])
        places = folders_of(given, "place")
        drives = [read(DriveLog, places[trip]) for trip in alignment.used]
        summary["trips"] = [trip.record() for trip in alignment.trips]
    else:
        drives = [posed_drive(given)]
        summary |= {"mount": mount} if (mount := surface_report(given).get("mount")) else {}
        summary["ground"] = ground_of(drives[0])
    surface = read_manifest(given.parents["fit"], kind=RoadSurface.kind, schema=RoadSurface.schema, verify=False)
    summary["surface"] = _surface_summary(surface.meta["report"])
    if given.config.fit.holdout_every:
        summary["reprojection"] = _on_held_out(given, drives[0], blocks, road_map)
    with atomic_folder(given.folder) as scratch:
        pictures = scratch / "pictures"
        pictures.mkdir()
        run_draw(drives[0], blocks.coarser(PICTURE_CELLS), road_map, pictures)
        write_geojson(road_map, scratch / "map.geojson", name=" + ".join(drive.name for drive in drives))
        seal_files(scratch, given, "Publication", summary)


def _surface_summary(report: dict[str, Any]) -> dict[str, Any]:
    """Return what was withheld where roads lie above each other, and how far passes of a drive lay apart."""
    apart = report.get("poses", {}).get("passes_apart_m")
    return {"withheld_m2": report.get("withheld_m2", 0.0), **({"passes_apart_m": apart} if apart else {})}


def _on_held_out(given: StageInput, drive: DriveLog, blocks: BevBlocks, road_map: RoadMap) -> dict[str, Any]:
    """Return how well the map meets the held-out images, beside a map of plain flat-ground projection."""
    fit, trace, tick = given.config.fit, given.config.trace, given.tick
    frames = [index for index in range(len(drive.frames)) if held_out(index, fit.holdout_every)]
    labels = FrameLabels.open(given.parents["segment"])
    if blocks.grid.width * blocks.grid.height > COMPARED_CELLS:
        error = reprojection_error(drive, labels, road_map, frames, tick=tick)
        left_out = f"the site has more than {COMPARED_CELLS} cells"
        return {"frames": len(frames), **error, "flat_ground_left_out": left_out}
    maps = (drive, labels, road_map, blocks.whole(), frames)
    reach_m = fit.max_distance_m
    return {"frames": len(frames), **compare_with_flat_ground(*maps, max_distance_m=reach_m, config=trace, tick=tick)}
