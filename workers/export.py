"""Exports of finished jobs: find the artifacts of a result again, and write them in the format of another tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.artifact import atomic_folder, read, read_manifest
from recon.errors import ArtifactForeign, ConfigInvalid
from workers.executor import StageInput
from workers.plan import ARTIFACT_STAGES
from workers.run import StageRecord, stored_record
from workers.spec import ExportJob, Origin
from workers.stages import seal_files
from workers.store import Store

if TYPE_CHECKING:
    from vectorize.formats.catalog import ExchangeFormat
    from vectorize.formats.exported_files import Written


def artifacts_of(report: Mapping[str, Any], store: Store, trip: int = 1) -> dict[str, StageRecord]:
    """Return kind -> artifact of a finished job, of an aggregate job those of one trip.

    `report` is the job's report.json. Raises ConfigInvalid for a trip the job does not have, ArtifactForeign for a
    report of something else, or when the store no longer holds what it names.
    """
    stages = report.get("stages")
    keys = {one.get("name"): one.get("key") for one in stages if isinstance(one, dict)} if stages else {}
    found = {}
    for kind, roles in ARTIFACT_STAGES.items():
        role = next((role for role in roles if role in keys or f"{role} 1" in keys), "")
        if not role:
            raise ArtifactForeign(f"the report names no {kind}", hint="Name the result of a label or aggregate job.")
        name = role if role in keys else f"{role} {trip}"
        if name not in keys or (trip > 1 and "ingest" in keys):
            raise ConfigInvalid(f"the result has no trip {trip}", where="trip", hint="Count the drives from 1.")
        manifest = store.find(role, str(keys[name]), kind)
        if manifest is None:
            hint = "Run the job again where this store is: what it still holds is skipped."
            raise ArtifactForeign(f"the {kind} of this result is not here", where=str(store.home), hint=hint)
        found[kind] = stored_record(store, name, role, str(keys[name]), manifest)
    return found


def write_format(
    chosen: ExchangeFormat, name: str, folders: Mapping[str, Path], origin: Origin | None = None
) -> Written:
    """Return the files of a format; `folders` holds the artifacts by kind, `origin` replaces the map's own."""
    from recon.align.pose_deltas import posed
    from recon.drive import DriveLog
    from recon.geo_origin import GeoOrigin
    from recon.surface.road_surface import RoadSurface
    from vectorize.road_map import RoadMap

    surface = read_manifest(folders[RoadSurface.kind], kind=RoadSurface.kind, schema=RoadSurface.schema, verify=False)
    artifacts: list[Any] = [read(kind, folders[kind.kind]) for kind in chosen.needs]
    # Labels were cropped under the poses that the surface was fitted with.
    artifacts = [posed(one, surface.meta["report"]) if isinstance(one, DriveLog) else one for one in artifacts]
    if origin is not None:
        place = GeoOrigin(**origin.model_dump())
        # Only a map carries an origin into a file; a drive's own metres stay what they are.
        artifacts = [replace(one, origin=place) if isinstance(one, RoadMap) else one for one in artifacts]
    return chosen.write(name, *artifacts)


def export(given: StageInput) -> None:
    """Write a job's result in the format of another tool."""
    from vectorize.formats.catalog import format_named

    spec = given.spec
    assert isinstance(spec, ExportJob)
    chosen = format_named(spec.format)
    written = write_format(chosen, spec.name or "map", given.parents, spec.origin)
    summary = {"export": {"format": chosen.name, "title": chosen.title, "loses": chosen.loses, "notes": written.notes}}
    with atomic_folder(given.folder) as scratch:
        for count, (name, data) in enumerate(written.files.items(), start=1):
            (scratch / name).write_bytes(data)
            given.tick(count, len(written.files), "files")
        seal_files(scratch, given, "Export", summary)
