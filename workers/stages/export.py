"""The stage export: a job's result in the format of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.align.pose_deltas import posed
from recon.artifact import atomic_folder, read, read_manifest
from recon.drive import DriveLog
from recon.geo_origin import GeoOrigin
from recon.heights.mount import mounted
from recon.surface.road_surface import RoadSurface
from vectorize.formats.catalog import format_named
from vectorize.road_map import RoadMap
from workers.stages.folder import seal_files

if TYPE_CHECKING:
    from vectorize.formats.catalog import ExchangeFormat
    from vectorize.formats.exported_files import ExportedFiles
    from workers.jobs.export import ExportJob, Origin
    from workers.stage import StageInput


def write_format(
    chosen: ExchangeFormat, name: str, folders: Mapping[str, Path], origin: Origin | None = None
) -> ExportedFiles:
    """Return the files of a format; `folders` holds the artifacts by kind, `origin` replaces the map's own."""
    surface = read_manifest(folders[RoadSurface.kind], kind=RoadSurface.kind, schema=RoadSurface.schema, verify=False)
    artifacts: list[Any] = [read(kind, folders[kind.kind]) for kind in chosen.needs]
    # Labels were cropped under the poses that the surface was fitted with.
    report = surface.meta["report"]
    artifacts = [mounted(posed(one, report), report) if isinstance(one, DriveLog) else one for one in artifacts]
    if origin is not None:
        place = GeoOrigin(**origin.model_dump())
        # Only a map carries an origin into a file; a drive's own metres stay what they are.
        artifacts = [replace(one, origin=place) if isinstance(one, RoadMap) else one for one in artifacts]
    return chosen.write(name, *artifacts)


def export(given: StageInput) -> None:
    """Write a job's result in the format of another tool."""
    spec: ExportJob = given.config
    chosen = format_named(spec.format)
    written = write_format(chosen, spec.name or "map", given.parents, spec.origin)
    summary = {"export": {"format": chosen.name, "title": chosen.title, "loses": chosen.loses, "notes": written.notes}}
    with atomic_folder(given.folder) as scratch:
        for count, (name, data) in enumerate(written.files.items(), start=1):
            (scratch / name).write_bytes(data)
            given.tick(count, len(written.files), "files")
        seal_files(scratch, given, "Export", summary)
