"""`roadscribe show`: what a job, a result folder or an artifact holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recon.artifact import MANIFEST, read_manifest
from recon.errors import ArtifactForeign, ArtifactInvalid
from service.cli.job_options import is_job_id, sources_of
from service.cli.submit import DEFAULT_URL, AsJson, Url, connect
from service.cli.table import print_report
from service.cli.terminal import put
from vectorize.publish.job_report import REPORT, read_report
from workers.store import NEWEST_SCHEMA


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(show)


def show(
    what: Annotated[str, typer.Argument(help="Id of a job, a result folder, or an artifact folder.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Print what a job, a result folder or an artifact holds; an artifact's files are verified.

    Example: roadscribe show demo_out/result
    """
    folder = Path(what)
    if (folder / REPORT).is_file():
        _show_result(folder, as_json)
    elif (folder / MANIFEST).is_file():
        _show_artifact(folder, as_json)
    elif folder.exists():
        hint = "A result holds report.json, an artifact holds manifest.json."
        raise ArtifactForeign("neither a result nor an artifact", where=what, hint=hint)
    elif not is_job_id(what):
        hint = "Give the id of a job (see roadscribe jobs), or a folder that exists."
        raise ArtifactForeign("no such folder, and no id of a job", where=what, hint=hint)
    else:
        with connect(url) as client:
            job = client.job(what)
        if as_json or not job["report"]:
            print(json.dumps(job, indent=None if as_json else 1))  # JSON writes control characters out
        else:
            put(f"{job['id']}  {job['state']}  {sources_of(job['spec'])}")
            print_report(job["report"])


def _show_result(folder: Path, as_json: bool) -> None:
    report = read_report(folder)
    if as_json:
        put(json.dumps(report))
        return
    print_report(report)
    for path in sorted(folder.glob("pictures/*.png")):
        put(path)


def _show_artifact(folder: Path, as_json: bool) -> None:
    try:
        kind = json.loads((folder / MANIFEST).read_bytes())["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactInvalid(
            "the manifest is not valid JSON", where=str(folder), hint="Run the stage again."
        ) from error
    manifest = read_manifest(folder, kind=kind, schema=NEWEST_SCHEMA)
    if as_json:
        record = {"kind": manifest.kind, "schema": manifest.schema, "digest": manifest.digest}
        put(json.dumps({**record, "meta": manifest.meta, "files": manifest.files, "parents": manifest.parents}))
        return
    put(f"{manifest.kind}, schema {manifest.schema}, digest {manifest.digest}")
    for role, digest in manifest.parents.items():
        put(f"  made from {role} {digest}")
    for name in manifest.files:
        put(f"  {(folder / name).stat().st_size:>12,} bytes  {name}")
