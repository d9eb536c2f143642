"""A campaign: label every drive, aggregate those that meet, publish one snapshot. All state is that of the service."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

from recon.artifact import digest_json
from service.campaign.batch import Job, Order, patiently, settle
from service.campaign.drives import CampaignDrive
from service.client import Client, ServiceRefused
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import DrivesJob
from workers.jobs.label import LabelJob
from workers.jobs.snapshot import SnapshotJob
from workers.spec import spec_record

MOST_PUBLISHED_ELSEWHERE = 5  # snapshots that others may publish while ours is made


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """What a campaign does: specs of its jobs, whose drives and jobs are put in later."""

    drives: tuple[CampaignDrive, ...]
    label: LabelJob
    site: AggregateJob
    snapshot: SnapshotJob
    extend: bool = True  # the newest snapshot of the dataset, instead of publishing these jobs alone
    one_frame: bool = False  # drives without an origin share one frame of local metres
    most_trips: int = 64  # of one aggregate job
    at_once: int = 64
    again: bool = False  # retry also what failed by its own fault


class Progress(Protocol):
    """Takes how a part of a campaign stands."""

    def __call__(self, part: str, /, *, done: int, total: int, failed: int, running: int, failure: str) -> None:
        """Take the counts, and what failed now."""


@dataclass(slots=True, kw_only=True)
class Site:
    """Drives that meet, and the job that made one site of them."""

    drives: tuple[str, ...]
    job: Job


@dataclass(slots=True, kw_only=True)
class CampaignResult:
    """All that a campaign did."""

    plan: CampaignPlan
    keys: dict[str, str]  # name of a drive -> key of its label job
    labels: dict[str, Job] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)  # name of a drive -> name of the one with the same content
    placeless: tuple[str, ...] = ()  # drives without an origin, whose place is unknown
    groups: tuple[tuple[str, ...], ...] = ()  # of one drive and more
    sites: list[Site] = field(default_factory=list)
    snapshot: Job | None = None
    published: dict[str, Any] | None = None  # its entry in the list of snapshots
    seconds: dict[str, float] = field(default_factory=dict)  # by part
    seen: dict[str, Job] = field(default_factory=dict)  # jobs of snapshots by id, which stay as they are


def run_campaign(
    client: Client, plan: CampaignPlan, progress: Progress, known: Mapping[str, str] | None = None
) -> CampaignResult:
    """Run a campaign to its end, whatever of it was done before; `known` are ids of jobs by key of an earlier run.

    A drive or a site that fails is part of the result. Raises ServiceUnreachable and ServiceRefused.
    """
    labels = [_label_order(plan, drive) for drive in plan.drives]
    result = CampaignResult(plan=plan, keys={order.name: order.key for order in labels})

    def settled(part: str, orders: Sequence[Order]) -> dict[str, Job]:
        started = time.monotonic()
        jobs = settle(
            client,
            orders,
            at_once=plan.at_once,
            standing=lambda **counts: progress(part, **counts),
            known=known,
            again=plan.again,
        )
        result.seconds[part] = result.seconds.get(part, 0.0) + time.monotonic() - started
        return jobs

    result.labels = settled("label", labels)
    find_groups(result)
    together = [names for names in result.groups if len(names) > 1]
    orders = [_site_order(plan, [result.labels[name]["id"] for name in names]) for names in together]
    sites = settled("aggregate", orders)
    result.sites = [Site(drives=names, job=sites[one.name]) for names, one in zip(together, orders, strict=True)]
    for _ in range(MOST_PUBLISHED_ELSEWHERE if _labelled(result) else 0):
        if _find_published(client, result):
            break
        order = _snapshot_order(client, result)
        result.snapshot = settled("publish", [order])[order.name]
        if (result.snapshot["failure"] or {}).get("code") != "SNAPSHOT_SUPERSEDED":
            _find_published(client, result)
            break
    return result


def _key(spec: Mapping[str, Any], content: str = "") -> str:
    return f"campaign-{digest_json({'spec': spec, 'content': content})}"


def _label_order(plan: CampaignPlan, drive: CampaignDrive) -> Order:
    spec = spec_record(_framed(plan, plan.label).model_copy(update={"drive": drive.path, "scene": drive.scene}))
    return Order(name=drive.name, spec=spec, key=_key(spec, drive.content))


def _framed(plan: CampaignPlan, job: DrivesJob) -> DrivesJob:
    """Return a job whose labels name the frame that all drives share: sites and single drives may show one ground."""
    if not plan.one_frame or job.pack.local_frame:
        return job
    # The name of the dataset stays the same in all later campaigns, and so do the splits of its places.
    return job.model_copy(update={"pack": replace(job.pack, local_frame=plan.snapshot.dataset)})


def _site_order(plan: CampaignPlan, jobs: Sequence[str]) -> Order:
    spec = spec_record(_framed(plan, plan.site)) | {"drives": [{"job": job} for job in jobs]}
    key = _key(spec)
    return Order(name=key, spec=spec, key=key, title=f"site of {len(jobs)} drives")


def _snapshot_order(client: Client, result: CampaignResult) -> Order:
    plan = result.plan
    newest = next((entry["job"] for entry in _snapshots(client, plan.snapshot.dataset)), "")
    extends = newest if plan.extend else ""
    update = {"jobs": tuple(_sources(client, result, extends)), "extends": extends}
    spec = spec_record(plan.snapshot.model_copy(update=update))
    # After another snapshot, publishing the same jobs alone once more is other work.
    return Order(name="snapshot", spec=spec, key=_key(spec, newest))


def _sources(client: Client, result: CampaignResult, extends: str) -> list[str]:
    """Return the jobs that a snapshot takes beside the one that it extends.

    The labels of a drive that come last are kept: those of its site, or its own if the site has none of it. A drive
    whose site failed keeps the labels that it has, which may be those of an earlier, smaller site.
    """
    failed = {result.labels[name]["id"] for site in result.sites if _has_failed(site) for name in site.drives}
    held = {job for one in _chain(client, result.seen, extends) for job in one["spec"]["jobs"]} if failed else set()
    labels = [result.labels[name]["id"] for name in sorted(_labelled(result))]
    sites = [site.job["id"] for site in result.sites if not _has_failed(site)]
    return [*(job for job in labels if job not in failed & held), *sites]


def _has_failed(site: Site) -> bool:
    return bool(site.job["state"] != "succeeded")


def _labelled(result: CampaignResult) -> list[str]:
    """Return the drives whose labels count: those that succeeded, without copies."""
    return [n for n, job in result.labels.items() if job["state"] == "succeeded" and n not in result.copies]


def find_groups(result: CampaignResult) -> None:
    """Find drives of equal content, and which of the others meet."""
    from recon.align.groups import LOCAL, area_of, groups

    first: dict[str, str] = {}
    for name in _labelled(result):
        stages = {stage["name"]: stage["digest"] for stage in result.labels[name]["report"]["stages"]}
        if (same := first.setdefault(stages["ingest"], name)) != name:
            result.copies[name] = same
    grounds = {name: result.labels[name]["report"].get("ground") for name in _labelled(result)}
    placed = {n: g for n, g in grounds.items() if g and (g["frame"] != LOCAL or result.plan.one_frame)}
    result.placeless = tuple(name for name in grounds if name not in placed)
    frames: dict[str, dict[str, Any]] = {}
    for name, ground in placed.items():  # metres of a local frame and of the Earth are never compared
        frames.setdefault(ground["frame"], {})[name] = area_of(ground)
    found = [one for areas in frames.values() for one in groups(areas, most=result.plan.most_trips)]
    result.groups = tuple(sorted([*found, *((name,) for name in result.placeless)]))


def _find_published(client: Client, result: CampaignResult) -> bool:
    """Return whether the newest snapshot, or one that it extends, is of these very jobs and settings, and note it."""
    extend, wanted = result.plan.extend, spec_record(result.plan.snapshot)
    entries = {entry["job"]: entry for entry in _snapshots(client, wanted["dataset"])}
    newest, every = next(iter(entries), ""), {*_sources(client, result, "")}
    for job in islice(_chain(client, result.seen, newest), None if extend else 1):
        spec = job["spec"]
        nothing_new = extend and job["id"] == newest and not _sources(client, result, newest)
        same = all(spec[name] == wanted[name] for name in ("splits", "filters")) and every.issuperset(spec["jobs"])
        same = same and (extend or not spec["extends"]) and spec["jobs"] == _sources(client, result, spec["extends"])
        if same or nothing_new:
            result.snapshot, result.published = job, entries[job["id"]]
            return True
    return False


def _chain(client: Client, seen: dict[str, Job], job_id: str) -> Iterator[Job]:
    """Yield the job of a snapshot, and those of the snapshots that it extends; each is asked for once."""
    while job_id:
        if job_id not in seen:
            seen[job_id] = patiently(partial(client.job, job_id))
        yield seen[job_id]
        job_id = seen[job_id]["spec"]["extends"]


def _snapshots(client: Client, dataset: str) -> list[dict[str, Any]]:
    try:
        return patiently(lambda: client.snapshots(dataset))
    except ServiceRefused as error:
        if error.where == "DATASET_UNKNOWN":
            return []
        raise
