"""`roadscribe gc`: remove from the store of a service what nothing needs any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from service.cli.submit import AsJson
from service.cli.terminal import put
from service.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(gc)


def gc(
    home: Annotated[Path | None, typer.Option("--home", help="Folder of ledger and artifacts.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be done.")] = False,
    unused_days: Annotated[float, typer.Option(min=0, help="Condemn results that no job used for so long.")] = 14.0,
    condemned_days: Annotated[float, typer.Option(min=0, help="Delete results condemned so long ago.")] = 7.0,
    damaged_days: Annotated[float, typer.Option(min=0, help="Delete what was set aside so long ago.")] = 30.0,
    published_days: Annotated[
        float, typer.Option(min=0, help="Release files of jobs that ended so long ago; 0 = never.")
    ] = 0.0,
    job: Annotated[list[str] | None, typer.Option("--job", help="Release the files of this job. Repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove results that no published file needs, in two phases: condemned first, deleted by a later run.

    Files of published snapshots are never released. Run it on the service's machine, while jobs run if need be.

    Example: roadscribe gc --home /var/lib/roadscribe --dry-run
    """
    from service.ledger.database import open_database
    from service.storage.bucket import Bucket
    from service.storage.collector import Age, Collector

    settings = load_settings(home=home)
    age = Age(unused=unused_days, condemned=condemned_days, damaged=damaged_days, published=published_days)
    bucket = Bucket(settings.publish_url) if settings.publish_url else None
    collector = Collector(settings.home, open_database(settings.url), age, bucket)
    for job_id in job or ():
        if not dry_run:
            collector.release(job_id)
        if not as_json:
            put(f"release  job {job_id}")
    found = collector.collect(dry_run=dry_run)
    if as_json:
        put(json.dumps({"dry_run": dry_run, "released": list(job or ()), "actions": [asdict(one) for one in found]}))
        return
    for one in found:
        put(f"{one.action:8} {one.size_bytes / 1e6:10.1f} MB  {one.what}")
    freed = sum(one.size_bytes for one in found if one.action == "delete")
    put(f"{freed / 1e6:.1f} MB {'would be' if dry_run else 'were'} freed")
