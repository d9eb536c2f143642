"""`roadscribe campaign`: hundreds of drives become one snapshot of a dataset, through a service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from recon.progress import Throttle
from service.campaign.campaign import CampaignPlan, run_campaign
from service.campaign.drives import find_drives
from service.campaign.report import PAGE, campaign_record, earlier_jobs, write_report
from service.cli.campaign_page import campaign_page
from service.cli.job_options import (
    Changes,
    ClassMap,
    Format,
    Segmenter,
    Sweeps,
    Weights,
    changes_of,
    label_spec,
    site_spec,
    snapshot_spec,
)
from service.cli.submit import DEFAULT_URL, AsJson, Url, connect
from service.cli.terminal import echo, put
from workers.jobs.aggregate import AggregateJob
from workers.jobs.label import LabelJob
from workers.jobs.snapshot import SnapshotJob

LINE_EVERY_S = 5.0
PATIENCE_S = (0.2, 0.5, 1.0, 2.0, 4.0, *[10.0] * 60)  # a service that restarts is waited for, ten minutes
ANY_JOB = "0"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(campaign)


def campaign(
    drives: Annotated[
        Path,
        typer.Argument(metavar="FOLDER_OR_LIST", help="Folder of drives, or a text file with one path a line."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder for the report: new, empty, or of an earlier run.")],
    dataset: Annotated[str, typer.Option("--dataset", help="Name of the dataset that gets the snapshot.")],
    format_: Format = "auto",
    sweeps: Sweeps = False,
    segmenter: Segmenter = "id_images",
    weights: Weights = None,
    class_map: ClassMap = "",
    changes: Changes = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Publish these drives alone; default: add them to the newest snapshot.")
    ] = False,
    one_frame: Annotated[
        bool, typer.Option("--one-frame", help="Drives without an origin share one frame of metres, and may meet.")
    ] = False,
    most_trips: Annotated[
        int, typer.Option("--most-trips", min=2, max=64, help="Of one site; a larger group is parted.")
    ] = 64,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=1000, help="Jobs that wait or run at once.")] = 64,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try what failed again, also where its input was at fault.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Label many drives through a service, aggregate those that meet, and publish one snapshot of a dataset.

    OUT gets report.md and report.json: every drive with its job or the reason why it failed, the sites, the snapshot,
    and the seconds of each stage. A drive that fails does not stop the others. Run the same command again after Ctrl-C,
    a crash or a failure: it submits nothing twice and goes on. Drives whose files have changed are labelled anew.

    Example: roadscribe campaign /data/drives campaign_out --dataset city --set splits.validation=0.2

    A list may name drives that only the service sees: roadscribe campaign drives.txt campaign_out --dataset city
    """
    known = earlier_jobs(out)
    found = find_drives(drives, format_)
    net: dict[str, Any] = {"segmenter": segmenter, "weights": weights, "class_map": class_map}
    plan = CampaignPlan(
        drives=found,
        label=label_spec(
            Path("/"),
            drive_format=format_,
            scene="",
            sweeps=sweeps,
            holdout=0,
            changes=changes_of(LabelJob, changes, or_of_none_of=(AggregateJob, SnapshotJob)),
            **net,
        ),
        site=site_spec(changes_of(AggregateJob, changes)),
        snapshot=snapshot_spec(dataset, [ANY_JOB], "", changes_of(SnapshotJob, changes)),
        extend=not replace,
        one_frame=one_frame,
        most_trips=most_trips,
        at_once=at_once,
        again=retry,
    )
    with connect(url) as client:
        client.jobs(limit=1)  # where nobody answers, it is told at once
    echo(f"{len(found)} drives, {sum(not drive.content for drive in found)} of them not on this machine")
    try:
        with connect(url, retries=PATIENCE_S) as client:
            result = run_campaign(client, plan, Lines(), known)
    except KeyboardInterrupt:
        echo()
        echo("stopped; the jobs that were submitted go on, and the same command continues from here")
        raise typer.Exit(130) from None
    record = campaign_record(result, url)
    write_report(record, campaign_page(record), out)
    if as_json:
        put(json.dumps(record))
    else:
        end(record, out)
    if not (record["snapshot"] or {}).get("url"):
        raise typer.Exit(1)


class Lines:
    """Tells people how a campaign stands: a line every few seconds, and one for each failure."""

    def __init__(self) -> None:
        self._throttle = Throttle(LINE_EVERY_S)

    def __call__(self, part: str, /, *, done: int, total: int, failed: int, running: int, failure: str = "") -> None:
        """Take the counts of a part."""
        if failure:
            echo(f"failed: {failure}")
        if done == total or self._throttle.due():
            trouble = f", {failed} of them failed" if failed else ""
            echo(f"{part}: {done} of {total} ended{trouble}; {running} queued or running")


def end(record: dict[str, Any], out: Path) -> None:
    """Print what a campaign came to."""
    counts, snapshot = record["counts"], record["snapshot"] or {}
    put(f"{counts['labelled']} of {counts['drives']} drives labelled, {counts['failed']} failed")
    put(f"{counts['sites']} sites of {counts['drives_in_sites']} drives, {counts['sites_failed']} failed")
    for code, count in record["failures"].items():
        put(f"  {code}: {count}")
    put(f"snapshot: {snapshot.get('url') or 'not published'}")
    put(f"report: {out / PAGE}")
