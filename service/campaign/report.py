"""The report of a campaign as a record, and the folder that holds it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recon.artifact import write_atomic
from recon.errors import PathRefused, storage_errors
from service.campaign.batch import Job
from service.campaign.campaign import CampaignResult

REPORT, PAGE = "report.json", "report.md"
Record = dict[str, Any]


def campaign_record(result: CampaignResult, url: str) -> Record:
    """Return report.json: every drive with its job, every site, the snapshot, failures and costs."""
    group_of = {name: number for number, names in enumerate(result.groups, start=1) for name in names}
    drives = [
        {
            "drive": drive.path,
            "scene": drive.scene,
            **_job(result.labels[drive.name]),
            "key": result.keys[drive.name],
            "group": group_of.get(drive.name),
            "copy_of": result.copies.get(drive.name, ""),
        }
        for drive in result.plan.drives
    ]
    sites = [
        {"drives": list(site.drives), **_job(site.job), "left_out": _left_out(site.job, site.drives)}
        for site in result.sites
    ]
    every = [*result.labels.values(), *(site.job for site in result.sites), *filter(None, [result.snapshot])]
    failed = [job for job in every if job["state"] != "succeeded"]
    return {
        "roadscribe": version("roadscribe"),
        "campaign": {"dataset": result.plan.snapshot.dataset, "service": url},
        "counts": {
            "drives": len(drives),
            "labelled": sum(job["state"] == "succeeded" for job in result.labels.values()),
            "failed": sum(job["state"] != "succeeded" for job in result.labels.values()),
            "copies": len(result.copies),
            "without_place": len(result.placeless),
            "groups": len(result.groups),
            "sites": sum(site.job["state"] == "succeeded" for site in result.sites),
            "sites_failed": sum(site.job["state"] != "succeeded" for site in result.sites),
            "drives_in_sites": sum(
                len(site["drives"]) - len(site["left_out"]) for site in sites if site["state"] == "succeeded"
            ),
        },
        "failures": dict(Counter(job["failure"]["code"] if job["failure"] else job["state"] for job in failed)),
        "snapshot": _snapshot(result, url),
        "seconds": {part: round(seconds, 1) for part, seconds in result.seconds.items()},
        "stages": _stages(every),
        "without_place": list(result.placeless),
        "groups": [list(names) for names in result.groups],
        "sites": sites,
        "drives": drives,
    }


def _job(job: Job) -> Record:
    failure = None
    if job["state"] != "succeeded":
        given = job["failure"] or {"code": job["state"].upper()}
        failure = {name: given.get(name, "") for name in ("code", "message", "where", "hint")}
    return {"job": job["id"], "state": job["state"], "failure": failure}


def _left_out(job: Job, drives: Sequence[str]) -> list[Record]:
    trips = (job["report"] or {}).get("trips", [])
    return [
        {"drive": name, "reason": trip["left_out"]}
        for name, trip in zip(drives, trips, strict=False)
        if trip["left_out"]
    ]


def _snapshot(result: CampaignResult, url: str) -> Record | None:
    if result.snapshot is None:
        return None
    body = _job(result.snapshot)
    if (entry := result.published) is not None:
        address = url.rstrip("/") + entry["url"]
        totals = entry["summary"]["totals"]
        body |= {"number": entry["number"], "sha256": entry["sha256"], "url": address, "totals": totals}
    return body


def _stages(jobs: Iterable[Job]) -> dict[str, dict[str, float]]:
    """Return how often each stage ran and was skipped in these jobs, and its seconds."""
    found: dict[str, dict[str, float]] = {}
    for stage in (stage for job in jobs for stage in (job["report"] or {}).get("stages", [])):
        entry = found.setdefault(stage["name"].split(" ")[0], {"run": 0, "skipped": 0, "seconds": 0.0, "longest_s": 0})
        entry[stage["state"]] += 1
        entry["seconds"] = round(entry["seconds"] + stage["seconds"], 3)
        entry["longest_s"] = max(entry["longest_s"], stage["seconds"])
    return found


def earlier_jobs(out: Path) -> dict[str, str]:
    """Return the ids of label jobs by key that the report of an earlier run holds, to be retried and found again.

    Raises PathRefused for a folder with other files.
    """
    with storage_errors(str(out)):
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return {}
        try:
            record = json.loads((out / REPORT).read_bytes())
            dataset, drives = record["campaign"]["dataset"], record["drives"]
            return {one["key"]: one["job"] for one in drives if one["job"]} if dataset else {}
        except (ValueError, KeyError, TypeError, FileNotFoundError, NotADirectoryError) as error:
            hint = "Name a new or empty folder, or that of an earlier run of the campaign."
            raise PathRefused("the folder holds other files", where=str(out), hint=hint) from error


def write_report(record: Record, page: str, out: Path) -> None:
    """Write report.json and report.md, the page for people."""
    with storage_errors(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / PAGE, page.encode())
        write_atomic(out / REPORT, json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")
