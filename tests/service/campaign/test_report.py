"""What a campaign makes of the reports of its label jobs, and how it tells of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recon.align.groups import ground_of
from recon.drive import DriveLog, Frame
from recon.geo_origin import GeoOrigin
from service.campaign.campaign import CampaignPlan, CampaignResult, Site, _label_order, _site_order, find_groups
from service.campaign.drives import CampaignDrive
from service.campaign.report import campaign_record, earlier_jobs, write_report
from service.cli.campaign_page import campaign_page
from service.cli.job_options import site_spec, snapshot_spec
from workers.jobs.label import LabelJob

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4)
BROKEN = {"code": "IMAGES_CORRUPT", "message": "a | b", "where": "frame 3", "hint": "Replace it.", "attempt": 1}


def ground(x_m, *, origin=ORIGIN):
    """Return the ground of 100 m of road, from `x_m`."""
    poses = np.repeat(np.eye(4)[None], 50, axis=0)
    poses[:, 0, 3] = x_m + 2.0 * np.arange(50)
    frames = tuple(Frame(time_ns=i, world_from_ego=pose, images=()) for i, pose in enumerate(poses))
    return ground_of(DriveLog(name="a", root=Path(), cameras=(), frames=frames, origin=origin))


def label(name, place, *, content="", seconds=2.0):
    stages = [{"name": "ingest", "digest": content or name, "state": "run", "seconds": seconds}]
    return {"id": f"job-{name}", "state": "succeeded", "failure": None, "report": {"stages": stages, "ground": place}}


def result_of(jobs, **changes):
    plan = CampaignPlan(
        drives=tuple(CampaignDrive(path=name) for name in sorted(jobs)),
        label=LabelJob(drive="/x"),
        site=site_spec(None),
        snapshot=snapshot_spec("city", ["0"], "", None),
        **changes,
    )
    return CampaignResult(plan=plan, keys={name: f"key-{name}" for name in jobs}, labels=jobs)


def fleet():
    return {
        "/a": label("a", ground(0.0)),
        "/b": label("b", ground(50.0)),
        "/copy": label("copy", ground(0.0), content="a"),
        "/far": label("far", ground(5000.0)),
        "/lost": {"id": "job-lost", "state": "failed", "failure": BROKEN, "report": None},
        "/m": label("m", ground(0.0, origin=None)),
        "/n": label("n", ground(10.0, origin=None)),
    }


def test_drives_meet_within_their_frame_and_copies_count_once():
    result = result_of(fleet())
    find_groups(result)
    assert result.groups == (("/a", "/b"), ("/far",), ("/m",), ("/n",))
    assert (result.copies, result.placeless) == ({"/copy": "/a"}, ("/m", "/n"))
    result = result_of(fleet(), one_frame=True)
    find_groups(result)
    assert result.groups == (("/a", "/b"), ("/far",), ("/m", "/n"))
    assert result.placeless == ()


def frames_of(plan):
    """Return the names of the local metres in the label jobs and in the aggregate jobs of a campaign."""
    orders = [_label_order(plan, plan.drives[0]), _site_order(plan, ["a", "b"])]
    return [order.spec["pack"]["local_frame"] for order in orders]


def test_sites_and_single_drives_of_one_frame_share_their_places():
    assert frames_of(result_of(fleet()).plan) == ["", ""]
    assert frames_of(result_of(fleet(), one_frame=True).plan) == ["city", "city"]


def test_a_frame_that_was_named_is_kept():
    plan = replace(result_of(fleet(), one_frame=True).plan, site=site_spec(["pack.local_frame=yard"]))
    assert frames_of(plan) == ["city", "yard"]


def test_a_report_tells_of_every_drive_and_what_to_do(tmp_path):
    result = result_of(fleet())
    find_groups(result)
    trips = [{"left_out": ""}, {"left_out": "its poses jump"}]
    site = {"id": "job-site", "state": "succeeded", "failure": None, "report": {"stages": [], "trips": trips}}
    result.sites = [Site(drives=("/a", "/b"), job=site)]
    totals = {"train": {"samples": 12}, "test": {"samples": 3}}
    result.snapshot = {"id": "job-snapshot", "state": "succeeded", "failure": None, "report": {"stages": []}}
    result.published = {"number": 4, "sha256": "0" * 64, "url": "/v1/city/4", "summary": {"totals": totals}}
    result.seconds = {"label": 12.34}
    record = campaign_record(result, "http://127.0.0.1:1/")
    assert record["counts"] == {
        "drives": 7,
        "labelled": 6,
        "failed": 1,
        "copies": 1,
        "without_place": 2,
        "groups": 4,
        "sites": 1,
        "sites_failed": 0,
        "drives_in_sites": 1,
    }
    assert record["failures"] == {"IMAGES_CORRUPT": 1}
    assert record["stages"]["ingest"] == {"run": 6, "skipped": 0, "seconds": 12.0, "longest_s": 2.0}
    page = campaign_page(record)
    for text in (
        "6 of 7 drives were labelled, 1 failed.",
        "Snapshot 4: 12 train, 3 test samples.",
        "--data http://127.0.0.1:1/v1/city/4",
        "| /lost | IMAGES_CORRUPT | a &#124; b | frame 3 | Replace it. |",
        "| /b | its poses jump |",
        "| /copy | has the same content as /a |",
        "| /m | has no origin",
        "| ingest | 6 | 0 | 12.0 | 2.0 |",
    ):
        assert text in page
    write_report(record, page, tmp_path / "out")
    assert earlier_jobs(tmp_path / "out")["key-/lost"] == "job-lost"


def test_a_campaign_without_labels_publishes_nothing_and_says_so():
    lost = {"/lost": {"id": "", "state": "refused", "failure": BROKEN, "report": None}}
    result = result_of(lost)
    find_groups(result)
    record = campaign_record(result, "http://127.0.0.1:1")
    assert (record["groups"], record["snapshot"]) == ([], None)
    assert "Nothing was published: no drive was labelled." in campaign_page(record)
    result.snapshot = {"id": "job-snapshot", "state": "failed", "failure": BROKEN, "report": None}
    assert "Nothing was published: IMAGES_CORRUPT: a | b" in campaign_page(campaign_record(result, ""))
