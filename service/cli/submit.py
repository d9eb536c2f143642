"""Commands that talk to a service: submit, watch, cancel, fetch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from recon.errors import ConfigInvalid, PathRefused
from service.cli.job_options import (
    Changes,
    ClassMap,
    Format,
    Holdout,
    Scenes,
    Segmenter,
    Sweeps,
    Weights,
    aggregate_spec,
    is_job_id,
    label_spec,
)
from service.cli.stage_bars import StageBars
from service.cli.terminal import echo, put
from service.client import RETRY_S, Client, part_of
from workers.jobs.job_spec import JobSpec
from workers.spec import spec_record

Url = Annotated[str, typer.Option("--url", envvar="ROADSCRIBE_URL", help="Address of the service.", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
JobId = Annotated[str, typer.Argument(help="Id of the job.")]
DEFAULT_URL = "http://127.0.0.1:8765"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (submit, watch, cancel, fetch):
        app.command()(command)


def connect(url: str, *, retries: tuple[float, ...] = RETRY_S) -> Client:
    """Return a client with the key of the environment."""
    return Client(url, api_key=os.environ.get("ROADSCRIBE_API_KEY", ""), retries=retries)


def submit(
    drives: Annotated[
        list[str],
        typer.Argument(
            metavar="DRIVE_OR_JOB...",
            help="Folder of a drive on the service's machine, or id of a label job. Several are aggregated.",
        ),
    ],
    format_: Format = "auto",
    scene: Scenes = None,
    sweeps: Sweeps = False,
    segmenter: Segmenter = "id_images",
    weights: Weights = None,
    class_map: ClassMap = "",
    holdout: Holdout = 0,
    changes: Changes = None,
    key: Annotated[str, typer.Option("--key", help="Idempotency key; the same key never makes a second job.")] = "",
    dedupe: Annotated[bool, typer.Option("--dedupe", help="Return an equal earlier job if there is one.")] = False,
    follow: Annotated[bool, typer.Option("--watch/--detach", help="Show progress until the job ends.")] = True,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Submit a drive to a service; prints the job's id and shows progress. Ctrl-C detaches, --json does not watch.

    Several drives over one place become one job: they are aligned and share one site, as `aggregate` does it. A label
    job, named by its id, stands for its drive and what it labelled; the new job waits, blocked, until it has succeeded.

    Example: roadscribe submit /data/drives/monday

    Two drives and a label job: roadscribe submit /data/monday /data/tuesday 0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54
    """
    net: dict[str, Any] = {"segmenter": segmenter, "weights": weights, "class_map": class_map, "changes": changes}
    spec: JobSpec
    if len(drives) == 1 and len(scene or []) < 2:
        if is_job_id(drives[0]):
            hint = "Name a second drive or job to make a site; roadscribe export JOB writes its result for other tools."
            raise ConfigInvalid("one label job alone is nothing to aggregate", where=drives[0], hint=hint)
        only = scene[0] if scene else ""
        spec = label_spec(Path(drives[0]), drive_format=format_, scene=only, sweeps=sweeps, holdout=holdout, **net)
    else:
        if holdout:
            raise ConfigInvalid("--holdout is for one drive", where="--holdout")
        spec = aggregate_spec(drives, drive_format=format_, scenes=scene, sweeps=sweeps, **net)
    with connect(url) as client:
        job = client.submit(spec_record(spec), key=key, dedupe=dedupe)
        put(json.dumps(job) if as_json else job["id"], flush=True)
        if follow and not as_json:
            end(follow_job(client, job["id"]), as_json=False)


def watch(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show a job's progress to its end; Ctrl-C leaves the job running.

    Example: roadscribe watch 0198f3c2-...
    """
    with connect(url) as client:
        end(follow_job(client, job_id), as_json=as_json)


def cancel(job_id: JobId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Cancel a job.

    Example: roadscribe cancel 0198f3c2-...
    """
    with connect(url) as client:
        job = client.cancel(job_id)
    put(json.dumps(job) if as_json else job["state"])


def fetch(
    job_id: JobId,
    out: Annotated[Path, typer.Argument(help="Folder for the files: new or empty, or of an earlier fetch.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Fetch the files of a finished job, each verified by its sha256.

    Example: roadscribe fetch 0198f3c2-... results
    """
    with connect(url) as client:
        entries = fetch_files(client, job_id, out)
    if as_json:
        put(json.dumps({"job": job_id, "files": [str(out / entry["path"]) for entry in entries]}))
    else:
        put(f"{len(entries)} files in {out}")


def fetch_files(client: Client, job_id: str, out: Path) -> list[dict[str, Any]]:
    """Fetch all files of a job into `out`; refuses a folder with other files."""
    job = client.job(job_id)
    if job["state"] != "succeeded":
        echo(f"the job is {job['state']}: there is nothing to fetch")
        raise typer.Exit(1)
    entries = client.artifacts(job_id)
    known = {Path(entry["path"]).parts[0] for entry in entries}
    known |= {part_of(Path(name)).name for name in known}  # what an interrupted fetch left, and this one continues
    others = [path for path in out.iterdir() if path.name not in known] if out.is_dir() else []
    if others:
        hint = "Name a new or empty folder; nothing of yours is overwritten."
        raise PathRefused("the folder holds other files", where=str(out), hint=hint)
    for entry in entries:
        parts = Path(entry["path"]).parts
        if ".." in parts or Path(entry["path"]).is_absolute():
            raise PathRefused("the service named a path outside the folder", where=entry["path"])
        client.download(entry, out.joinpath(*parts))
    return entries


def follow_job(client: Client, job_id: str, *, detach: bool = True) -> dict[str, Any]:
    """Show a job until it ends and return it; Ctrl-C detaches and exits with 130, or without `detach` is passed on."""
    try:
        with StageBars() as bars:
            for kind, data in client.events(job_id):
                bars.show(kind, data)
        return client.job(job_id)
    except KeyboardInterrupt:
        if not detach:
            raise
        echo()
        echo("detached; the job goes on")
        echo(f"show it again: roadscribe watch {job_id}   stop it: roadscribe cancel {job_id}")
        raise typer.Exit(130) from None


def end(job: dict[str, Any], *, as_json: bool) -> None:
    """Print how a job ended; exits with 1 unless it succeeded."""
    if as_json:
        put(json.dumps(job))
    failure = job["failure"] or {}
    if job["state"] == "failed":
        echo(f"failed: {failure['code']}: {failure['message']}")
        for name, label in (("where", "where"), ("hint", "what to do")):
            if failure.get(name):
                echo(f"  {label}: {failure[name]}")
    else:
        echo(job["state"])
    if job["state"] != "succeeded":
        raise typer.Exit(1)
