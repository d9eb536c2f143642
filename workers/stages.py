"""The stages of a label job as functions of a StageInput: read the parents, call the domain, leave a sealed folder.

Only a worker process imports what they call: torch, numba and OpenCV stay out of the API and the executor.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.artifact import Artifact, atomic_folder, read, read_manifest, seal, write
from recon.drive import DriveLog
from workers.executor import StageInput
from workers.spec import AggregateJob, DriveRef, LabelJob

if TYPE_CHECKING:
    from recon.bev.bev_map import BevBlocks
    from vectorize.road_map import RoadMap

PICTURE_CELLS = 8_000_000  # a picture of 2000 px shows no more; a larger site is drawn with larger cells
COMPARED_CELLS = 16_000_000  # flat ground needs all classes of the whole raster at once: 80 bytes a cell


def ingest(given: StageInput) -> None:
    """Read the drive and the sha256 of its images."""
    from recon.formats.read import read_drive

    one = given.spec.drives[given.trip] if isinstance(given.spec, AggregateJob) else given.spec
    assert isinstance(one, DriveRef)
    drive = read_drive(Path(one.drive), format=one.format, scene=one.scene, sweeps=one.sweeps, tick=given.tick)
    leave(drive, given)


def segment(given: StageInput) -> None:
    """Label every image; the folder keeps finished images between attempts."""
    from recon.segment.segment import segment as run_segment

    run_segment(
        drive_of(given),
        given.config,
        given.folder,
        given.tick,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )


def fit(given: StageInput) -> None:
    """Fit the road surface."""
    from recon.fit.fit import fit as run_fit
    from recon.segment.frame_labels import FrameLabels
    from recon.views.views import Trip

    trip = Trip(drive=drive_of(given), labels=FrameLabels.open(given.parents["segment"]))
    leave(run_fit([trip], given.config, given.tick, scratch=given.folder.parent), given)


def bake(given: StageInput) -> None:
    """Turn the surface into a raster."""
    from recon.bev.bake import bake_blocks
    from recon.surface.road_surface import RoadSurface

    surface = read(RoadSurface, given.parents["fit"], mapped=True)
    leave(bake_blocks(surface, given.config, given.tick, scratch=given.folder.parent), given)


def trace(given: StageInput) -> None:
    """Trace the raster into a vector map."""
    from recon.bev.bev_map import BevBlocks
    from vectorize.trace.trace_site import trace_site

    bev = read(BevBlocks, given.parents["bake"], mapped=True)
    drive = drive_of(given)
    leave(trace_site(bev, given.config, origin=drive.origin, trips=[drive.name], tick=given.tick), given)


def crop(given: StageInput) -> None:
    """Crop one label per keyframe."""
    from recon.bev.bev_map import BevBlocks
    from vectorize.labels.crop import crop as run_crop
    from vectorize.road_map import RoadMap

    bev = read(BevBlocks, given.parents["bake"], mapped=True)
    road_map = read(RoadMap, given.parents["trace"])
    provenance = {"parents": given.parent_digests, "config": given.config_digest}
    leave(run_crop(posed_drive(given), bev, road_map, given.config, given.tick, provenance=provenance), given)


def pack(given: StageInput) -> None:
    """Pack the labels into shards."""
    from vectorize.labels.label_set import LabelSet
    from vectorize.labels.shard import pack as run_pack

    labels = read(LabelSet, given.parents["crop"])
    run_pack(
        labels,
        posed_drive(given),
        given.config,
        given.folder,
        given.tick,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )


def draw(given: StageInput) -> None:
    """Make what people look at: pictures, GeoJSON and the figures of the report."""
    from recon.bev.bev_map import BevBlocks
    from vectorize.formats.geojson import write_geojson
    from vectorize.labels.label_set import LabelSet
    from vectorize.publish.lanes import lane_summary
    from vectorize.publish.pictures import draw as run_draw
    from vectorize.publish.summary import map_summary
    from vectorize.road_map import RoadMap

    drive = posed_drive(given)
    blocks = read(BevBlocks, given.parents["bake"], mapped=True)
    road_map = read(RoadMap, given.parents["trace"])
    summary = {**map_summary(road_map, read(LabelSet, given.parents["crop"])), **lane_summary(road_map)}
    if given.config.holdout_every:
        summary["reprojection"] = _on_held_out(given, drive, blocks, road_map)
    with atomic_folder(given.folder) as scratch:
        pictures = scratch / "pictures"
        pictures.mkdir()
        run_draw(drive, blocks.coarser(PICTURE_CELLS), road_map, pictures)
        write_geojson(road_map, scratch / "map.geojson", name=drive.name)
        seal_files(scratch, given, "Publication", summary)


def _on_held_out(given: StageInput, drive: DriveLog, blocks: BevBlocks, road_map: RoadMap) -> dict[str, Any]:
    """Return how well the map meets the held-out images, beside a map of plain flat-ground projection."""
    from recon.segment.frame_labels import FrameLabels
    from recon.views.views import held_out
    from vectorize.evaluate.flat_ground import beside_flat_ground
    from vectorize.evaluate.reprojection import reprojection_error

    assert isinstance(given.spec, LabelJob)
    frames = [index for index in range(len(drive.frames)) if held_out(index, given.config.holdout_every)]
    labels, tick = FrameLabels.open(given.parents["segment"]), given.tick
    if blocks.grid.width * blocks.grid.height > COMPARED_CELLS:
        error = reprojection_error(drive, labels, road_map, frames, tick=tick)
        left_out = f"the site has more than {COMPARED_CELLS} cells"
        return {"frames": len(frames), **error, "flat_ground_left_out": left_out}
    reach_m, config = given.config.max_distance_m, given.spec.trace
    maps = (drive, labels, road_map, blocks.whole(), frames)
    return {"frames": len(frames), **beside_flat_ground(*maps, max_distance_m=reach_m, config=config, tick=tick)}


def drive_of(given: StageInput) -> DriveLog:
    """Return the drive that the stage works on."""
    return read(DriveLog, given.parents["ingest"])


def posed_drive(given: StageInput) -> DriveLog:
    """Return the drive with the poses that its surface was fitted under; a drive of a site has been placed already."""
    from recon.align.pose_deltas import posed
    from recon.surface.road_surface import RoadSurface

    drive = drive_of(given)
    if "fit" not in given.parents:
        return drive
    surface = read_manifest(given.parents["fit"], kind=RoadSurface.kind, schema=RoadSurface.schema, verify=False)
    return posed(drive, surface.meta["report"])


def seal_files(scratch: Path, given: StageInput, kind: str, summary: dict[str, Any]) -> None:
    """Seal a folder of files for people and other tools, with what the job's report says of them."""
    parents, config = given.parent_digests, given.config_digest
    seal(scratch, kind=kind, schema=1, meta={"summary": summary}, parents=parents, config=config)


def leave(artifact: Artifact, given: StageInput) -> None:
    """Write a stage's result."""
    write(artifact, given.folder, parents=given.parent_digests, config=given.config_digest)
