"""The stages of a label job as functions of a StageInput: read the parents, call the domain, leave a sealed folder.

Only a worker process imports what they call: torch, numba and OpenCV stay out of the API and the executor.
"""

from __future__ import annotations

import json
from pathlib import Path

from recon.artifact import Artifact, atomic_folder, read, seal, write
from recon.drive import DriveLog
from workers.executor import StageInput
from workers.spec import LabelJob


def ingest(given: StageInput) -> None:
    """Read the drive and the sha256 of its images."""
    from recon.formats.read import read_drive

    assert isinstance(given.spec, LabelJob)
    drive = read_drive(Path(given.spec.drive), format=given.spec.format)
    _leave(drive, given)


def segment(given: StageInput) -> None:
    """Label every image; the folder keeps finished images between attempts."""
    from recon.segment.run import segment as run_segment

    given.folder.mkdir(parents=True, exist_ok=True)
    run_segment(_drive(given), given.config, given.folder, given.tick)


def fit(given: StageInput) -> None:
    """Fit the road surface."""
    from recon.fit.fit import fit as run_fit

    from recon.segment.frame_labels import FrameLabels

    labels = FrameLabels.open(given.parents["segment"])
    _leave(run_fit(_drive(given), labels, given.config, given.tick), given)


def bake(given: StageInput) -> None:
    """Turn the surface into a raster."""
    from recon.bake import bake as run_bake
    from recon.surface import RoadSurface

    _leave(run_bake(read(RoadSurface, given.parents["fit"]), given.config), given)


def trace(given: StageInput) -> None:
    """Trace the raster into a vector map."""
    from recon.bev import BevMap
    from vectorize.trace import trace as run_trace

    bev = read(BevMap, given.parents["bake"])
    _leave(run_trace(bev, given.config, origin=_drive(given).origin, tick=given.tick), given)


def crop(given: StageInput) -> None:
    """Crop one label per keyframe."""
    from recon.bev import BevMap
    from vectorize.labels import crop as run_crop
    from vectorize.road_map import RoadMap

    bev, road_map = read(BevMap, given.parents["bake"]), read(RoadMap, given.parents["trace"])
    _leave(run_crop(_drive(given), bev, road_map, given.config, given.tick), given)


def pack(given: StageInput) -> None:
    """Pack the labels into shards."""
    from vectorize.shard import pack as run_pack

    from vectorize.labels import LabelSet

    labels = read(LabelSet, given.parents["crop"])
    given.folder.mkdir(parents=True, exist_ok=True)
    run_pack(labels, _drive(given), given.config, given.folder, given.tick)


def draw(given: StageInput) -> None:
    """Make what people look at: pictures, GeoJSON and the figures of the report."""
    from vectorize.formats.geojson import to_geojson
    from vectorize.pictures import draw as run_draw

    from recon.bev import BevMap
    from vectorize.road_map import RoadMap

    drive = _drive(given)
    bev, road_map = read(BevMap, given.parents["bake"]), read(RoadMap, given.parents["trace"])
    with atomic_folder(given.folder) as scratch:
        pictures = scratch / "pictures"
        pictures.mkdir()
        run_draw(drive, bev, road_map, pictures)
        text = json.dumps(to_geojson(road_map), indent=1, allow_nan=False)
        (scratch / "map.geojson").write_text(text + "\n", encoding="utf-8")
        seal(
            scratch,
            kind="Publication",
            schema=1,
            meta={"summary": {}},
            parents=given.parent_digests,
            config=given.config_digest,
        )


def _drive(given: StageInput) -> DriveLog:
    return read(DriveLog, given.parents["ingest"])


def _leave(artifact: Artifact, given: StageInput) -> None:
    write(artifact, given.folder, parents=given.parent_digests, config=given.config_digest)
