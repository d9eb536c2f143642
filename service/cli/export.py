"""`roadscribe export`: a result in the format of another tool, from a folder here or a job of a service."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from recon.artifact import write_atomic
from recon.errors import ConfigInvalid, PathRefused
from service.cli.job_options import is_job_id
from service.cli.submit import DEFAULT_URL, Url, connect, end, follow_job
from service.cli.terminal import echo, put
from service.results import OWN_FOLDER
from vectorize.publish.job_report import REPORT, read_report
from workers.jobs.drives import file_stem
from workers.jobs.export import EXPORT_FORMATS, ExportJob, Origin, artifacts_of
from workers.spec import spec_record
from workers.store import Store


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    result: Annotated[
        str,
        typer.Argument(
            metavar="OUT_OR_JOB",
            help="Folder that `roadscribe label` or `aggregate` wrote, or id of a job of the service.",
        ),
    ],
    format_: Annotated[str, typer.Option("--format", help=f"One of {', '.join(EXPORT_FORMATS)}.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="File, or folder for several; default: OUT/exports, of a job exports/ here."),
    ] = None,
    origin: Annotated[
        str,
        typer.Option("--origin", metavar="LAT,LON[,ALT]", help="Where the drive's zero lies, in degrees and metres."),
    ] = "",
    trip: Annotated[
        int, typer.Option("--trip", min=1, max=64, help="Of an aggregate result: whose labels and poses, from 1.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist at --to.")] = False,
    follow: Annotated[
        bool, typer.Option("--watch/--detach", help="Of a job: wait for the files, or print the export's id.")
    ] = True,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print files, notes and losses as JSON.")] = False,
) -> None:
    """Write a result in the format of another tool, and print on stderr what that format cannot hold.

    Example: roadscribe export out --format geopackage --to monday.gpkg

    Of a job: roadscribe export 0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54 --format geopackage --to monday.gpkg
    """
    spec = _spec(format_, result, trip, _origin(origin) if origin else None)
    if not is_job_id(result):
        record = _export_here(Path(result), spec, to, overwrite=overwrite)
    else:
        if to is not None and not to.is_dir():
            _refuse_in_the_way([to], overwrite)  # before the work; of several files the names come with it
        with connect(url) as client:
            job = client.submit(spec_record(spec))
            if not follow:
                put(json.dumps(job) if as_json else job["id"])
                return
            job = follow_job(client, job["id"])
            if job["state"] != "succeeded":
                end(job, as_json=False)
            entries = {e["path"]: e for e in client.artifacts(job["id"]) if e["path"] != REPORT}
            targets = _targets(list(entries), to, Path("exports"), overwrite=overwrite)
            for name, path in targets.items():
                client.download(entries[name], path)
        record = {**job["report"]["export"], "files": [str(path) for path in targets.values()]}
    if as_json:
        put(json.dumps(record))
        return
    echo(f"{record['title']} does not hold")
    for loss in record["loses"]:
        echo(f"  - {loss}")
    for note in record["notes"]:
        echo(f"note: {note}")
    for file in record["files"]:
        put(file)


def _spec(format_: str, result: str, trip: int, origin: Origin | None) -> ExportJob:
    """Return the export as a job; of a folder here it only carries the options."""
    if format_ not in EXPORT_FORMATS:
        hint = f"There are {', '.join(EXPORT_FORMATS)}."
        raise ConfigInvalid(f"no export format is called {format_!r}", where="--format", hint=hint)
    job = result if is_job_id(result) else "here"
    return ExportJob.model_validate({"job": job, "format": format_, "trip": trip, "origin": origin})


def _export_here(out: Path, spec: ExportJob, to: Path | None, *, overwrite: bool) -> dict[str, Any]:
    from vectorize.formats.catalog import format_named
    from workers.stages.export import write_format

    chosen, report = format_named(spec.format), read_report(out)
    found = artifacts_of(report, Store(out / OWN_FOLDER / "store"), spec.trip)
    folders = {kind: record.folder for kind, record in found.items()}
    written = write_format(chosen, _name(report), folders, spec.origin)
    # In the folder of the result earlier exports may be replaced.
    targets = _targets(list(written.files), to, out / "exports", overwrite=overwrite or to is None)
    for name, path in targets.items():
        write_atomic(path, written.files[name])
    record = {"format": chosen.name, "title": chosen.title, "loses": chosen.loses, "notes": written.notes}
    return {**record, "files": [str(path) for path in targets.values()]}


def _origin(text: str) -> Origin:
    hint = "Expected LAT,LON or LAT,LON,ALT, e.g. --origin 49.0,8.4,110."
    try:
        latitude, longitude, *rest = (float(part) for part in text.split(","))
        (altitude,) = rest or [0.0]
        return Origin(latitude_deg=latitude, longitude_deg=longitude, altitude_m=altitude)
    except (ValueError, ValidationError) as error:
        raise ConfigInvalid(f"{text!r} is no place", where="--origin", hint=hint) from error


def _name(report: dict[str, Any]) -> str:
    """Return the drive's name as the stem of a file."""
    first = report["job"].get("drives", [report["job"]])[0]
    return file_stem(str(first.get("scene") or first.get("drive", "")))


def _targets(names: list[str], to: Path | None, default: Path, *, overwrite: bool) -> dict[str, Path]:
    """Return where each file goes: a single file to `to` itself unless that is a folder. Refuses what is in the way."""
    place = default if to is None else to
    if to is not None and len(names) == 1 and not to.is_dir():
        targets = dict.fromkeys(names, to)
    elif place.exists() and not place.is_dir():
        what = f"the export is {len(names)} files, and this is one"
        raise PathRefused(what, where=str(place), hint="Name a folder.")
    else:
        targets = {name: place / name for name in names}
    _refuse_in_the_way(targets.values(), overwrite)
    return targets


def _refuse_in_the_way(paths: Iterable[Path], overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            hint = "Name another place with --to, or add --overwrite."
            raise PathRefused("a file is in the way", where=str(path), hint=hint)
