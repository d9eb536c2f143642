"""`roadscribe dataset`: publish results as a snapshot, list what was published, and copy a snapshot."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli.job_options import Changes, snapshot_spec
from service.cli.submit import DEFAULT_URL, AsJson, Url, connect, end, fetch_files, follow_job
from service.cli.terminal import put
from service.client import Client
from workers.spec import spec_record

Name = Annotated[str, typer.Argument(help="Name of the dataset.")]

dataset = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    text = """Publish the results of jobs as an immutable snapshot that training pulls from. All take --json.

    Example: roadscribe dataset publish city JOB JOB
    """
    app.add_typer(dataset, name="dataset", help=text)


@dataset.command()
def publish(
    name: Name,
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids of label and aggregate jobs.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Publish these jobs alone; default: add them to the newest snapshot.")
    ] = False,
    changes: Changes = None,
    follow: Annotated[bool, typer.Option("--watch/--detach", help="Show progress until the job ends.")] = True,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Publish the shards of jobs as the next snapshot of a dataset; the first one makes it.

    Jobs that still run are waited for. A drive that is there already gets its new labels. Every place belongs to one
    split, now and in later snapshots: --set splits.validation=0.2 states the share of the first snapshot.
    --set filters.min_coverage=0.3 leaves samples out of this one.

    Example: roadscribe dataset publish city 0198f3c2-... 0198f3c3-... --set splits.validation=0.2 --set splits.test=0
    """
    with connect(url) as client:
        extends = "" if replace else newest_job(client, name)
        job = client.submit(spec_record(snapshot_spec(name, jobs, extends, changes)))
        if not follow or as_json:
            put(json.dumps(job) if as_json else job["id"])
            return
        end(follow_job(client, job["id"]), as_json=False)
        made = next(one for one in client.snapshots(name) if one["job"] == job["id"])
    put(f"{url.rstrip('/')}{made['url']}")


@dataset.command(name="list")
def list_snapshots(
    name: Annotated[str, typer.Argument(help="Name of a dataset: list its snapshots.")] = "",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the datasets, or the snapshots of one, with the addresses that training takes.

    Example: roadscribe dataset list city
    """
    with connect(url) as client:
        found = client.snapshots(name) if name else client.datasets()
    if as_json:
        put(json.dumps(found))
        return
    for one in found:
        created = datetime.fromtimestamp(one["created_at"]).strftime("%Y-%m-%d %H:%M")
        counts = ", ".join(f"{total['samples']} {split}" for split, total in one["summary"]["totals"].items())
        put(f"{url.rstrip('/')}{one['url']}  {created}  {counts}")


@dataset.command()
def fetch(
    name: Name,
    out: Annotated[Path, typer.Argument(help="Folder for the copy: new, empty, or of an interrupted fetch.")],
    number: Annotated[int, typer.Option("--snapshot", min=0, help="Number of the snapshot; 0 = the newest.")] = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Copy a snapshot into a folder, each file verified by its sha256. Training takes the folder as it takes the URL.

    Example: roadscribe dataset fetch city city_3 --snapshot 3
    """
    with connect(url) as client:
        found = client.snapshot(name, number)
        fetch_files(client, found["job"], out)
    put(json.dumps(found) if as_json else f"Snapshot {found['number']}: {out}")


def newest_job(client: Client, name: str) -> str:
    """Return the id of the job that made the newest snapshot of a dataset, or "" if there is none."""
    return next((str(one["job"]) for one in client.datasets() if one["dataset"] == name), "")
