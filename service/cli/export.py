"""`roadscribe export`: a result in the format of another tool."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from recon.artifact import MANIFEST, read, read_manifest, write_atomic
from recon.errors import ArtifactForeign, ArtifactInvalid, ConfigInvalid, PathRefused
from service.cli.progress import say
from service.results import OURS
from workers.store import NEWEST_SCHEMA

STAGE_OF = {"DriveLog": "ingest", "RoadSurface": "fit", "BevMap": "bake", "RoadMap": "trace", "LabelSet": "crop"}
NAMES = "geopackage, geoparquet, lanelet2, maptr, maptrv2, streammapnet, nuscenes, argoverse2, geotiff, ply"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    out: Annotated[Path, typer.Argument(help="Folder of a result that `roadscribe label` made.")],
    format_: Annotated[str, typer.Option("--format", help=f"One of {NAMES}.")],
    to: Annotated[Path | None, typer.Option("--to", help="File, or folder for several; default: OUT/exports.")] = None,
    origin: Annotated[
        str,
        typer.Option("--origin", metavar="LAT,LON[,ALT]", help="Where the drive's zero lies, in degrees and metres."),
    ] = "",
    trip: Annotated[
        int, typer.Option("--trip", min=1, help="Of an aggregate result: which drive's labels and poses, from 1.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist at --to.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print files, notes and losses as JSON.")] = False,
) -> None:
    """Write a result in the format of another tool, and say on stderr what that format cannot hold.

    Example: roadscribe export out --format geopackage --to monday.gpkg
    """
    from vectorize.formats.catalog import format_named

    chosen = format_named(format_)
    place = _origin(origin) if origin else None
    report = _report(out)
    artifacts = [read(kind, _artifact_folder(out, report, kind.kind, trip)) for kind in chosen.needs]
    if place is not None:
        # Only a map carries an origin into a file; a drive's own metres stay what they are.
        artifacts = [_moved(one, place) for one in artifacts]
    written = chosen.write(_name(report), *artifacts)
    targets = _targets(written.files, to if to is not None else out / "exports", single=to is not None)
    if to is not None and not overwrite:
        for path in targets.values():
            if path.exists():
                hint = "Name another place with --to, or add --overwrite."
                raise PathRefused("a file is in the way", where=str(path), hint=hint)
    for name, path in targets.items():
        write_atomic(path, written.files[name])
    if as_json:
        files = [str(path) for path in targets.values()]
        print(json.dumps({"format": format_, "files": files, "notes": written.notes, "loses": chosen.loses}))
        return
    say(f"{chosen.title} does not hold")
    for loss in chosen.loses:
        say(f"  - {loss}")
    for note in written.notes:
        say(f"note: {note}")
    for path in targets.values():
        print(path)


def _origin(text: str) -> Any:
    from recon.geometry import GeoOrigin

    hint = "Expected LAT,LON or LAT,LON,ALT, e.g. --origin 49.0,8.4,110."
    try:
        latitude, longitude, *rest = (float(part) for part in text.split(","))
        (altitude,) = rest or [0.0]
        return GeoOrigin(latitude_deg=latitude, longitude_deg=longitude, altitude_m=altitude)
    except ValueError as error:
        raise ConfigInvalid(f"{text!r} is no place: {error}", where="--origin", hint=hint) from error


def _moved(artifact: Any, origin: Any) -> Any:
    from vectorize.road_map import RoadMap

    return dataclasses.replace(artifact, origin=origin) if isinstance(artifact, RoadMap) else artifact


def _report(out: Path) -> dict[str, Any]:
    path = out / "report.json"
    try:
        body = json.loads(path.read_bytes())
        if isinstance(body, dict) and isinstance(body["stages"], list):
            return body
    except FileNotFoundError as error:
        hint = "Name the folder that `roadscribe label` wrote to."
        raise ArtifactForeign("the folder holds no result", where=str(out), hint=hint) from error
    except (ValueError, KeyError, OSError) as error:
        raise ArtifactInvalid("report.json does not parse", where=str(path), hint="Run the job again.") from error
    raise ArtifactForeign("report.json is none of a job", where=str(path), hint="Name the folder of a result.")


def _name(report: dict[str, Any]) -> str:
    """Return the drive's name as the stem of a file."""
    job = report.get("job")
    first = job.get("drives", [job])[0] if isinstance(job, dict) else {}
    drive = Path(str(first.get("drive", ""))).name
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in drive) or "map"


def _artifact_folder(out: Path, report: dict[str, Any], kind: str, trip: int) -> Path:
    """Return the folder of the artifact that made this result: other runs in OUT left theirs beside it."""
    from workers.plan import identity

    digests = {entry.get("name"): entry.get("digest") for entry in report["stages"] if isinstance(entry, dict)}
    stage = "place" if kind == "DriveLog" and "place 1" in digests else STAGE_OF[kind]
    if f"{stage} 1" in digests and f"{stage} {trip}" not in digests:
        raise ConfigInvalid(f"the result has no trip {trip}", where="--trip", hint="Count the drives from 1.")
    wanted = digests.get(stage, digests.get(f"{stage} {trip}"))
    home = out / OURS / "store" / "objects" / stage
    for folder in sorted(home.iterdir()) if home.is_dir() else []:
        if (folder / MANIFEST).is_file():
            manifest = read_manifest(folder, kind=kind, schema=NEWEST_SCHEMA, verify=False)
            if identity(manifest) == wanted:
                return folder
    hint = (
        "Export where `roadscribe label` ran: a fetched result holds no artifacts. Running the job again brings them."
    )
    raise ArtifactForeign(f"the {kind} of this result is not here", where=str(home), hint=hint)


def _targets(files: dict[str, bytes], place: Path, *, single: bool) -> dict[str, Path]:
    """Return where each file goes: a single file to `place` itself unless that is a folder."""
    if single and len(files) == 1 and not place.is_dir():
        return dict.fromkeys(files, place)
    if place.exists() and not place.is_dir():
        raise PathRefused(f"the export is {len(files)} files, and this is one", where=str(place), hint="Name a folder.")
    return {name: place / name for name in files}
