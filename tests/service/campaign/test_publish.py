"""What a campaign publishes through a running service, from drives that are labelled already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_jobs import add_job, write_town

from recon.align.groups import ground_of
from recon.drive import DriveLog, Frame
from recon.geo_origin import GeoOrigin
from service.campaign.campaign import CampaignPlan, _label_order, run_campaign
from service.campaign.drives import CampaignDrive
from service.cli.job_options import site_spec, snapshot_spec
from service.client import ServiceRefused
from service.ledger.database import open_database
from workers.jobs.label import LabelJob

pytestmark = pytest.mark.slow
ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4)
SPLITS = {"validation": 0.0, "test": 0.0}


@pytest.fixture(scope="module")
def ledger(service):
    engine = open_database(f"sqlite:///{service.home / 'ledger.sqlite3'}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def labels(service, ledger, tmp_path_factory):
    """Return label jobs of two drives that do not meet, by name."""
    folder = tmp_path_factory.mktemp("towns")
    return {name: add_job(ledger, service.home, [write_town(folder, i)]) for i, name in enumerate("ab", start=21)}


def campaign(client, dataset, labels, **changes):
    """Run a campaign of drives with these label jobs."""
    plan = CampaignPlan(
        drives=tuple(CampaignDrive(path=f"/{name}") for name in labels),
        label=LabelJob(drive="/x"),
        site=site_spec(None),
        snapshot=snapshot_spec(dataset, ["0"], "", [f"splits.{name}={share}" for name, share in SPLITS.items()]),
        **changes,
    )
    known = {_label_order(plan, drive).key: labels[drive.path[1:]] for drive in plan.drives}
    return run_campaign(client, plan, lambda part, **counts: None, known)


def ground(x_m):
    """Return the ground of 100 m of road, from `x_m`."""
    poses = np.repeat(np.eye(4)[None], 50, axis=0)
    poses[:, 0, 3] = x_m + 2.0 * np.arange(50)
    frames = tuple(Frame(time_ns=i, world_from_ego=pose, images=()) for i, pose in enumerate(poses))
    return ground_of(DriveLog(name="a", root=Path(), cameras=(), frames=frames, origin=ORIGIN))


def test_a_limit_of_requests_is_waited_for_up_to_the_end(client, labels, monkeypatch):
    monkeypatch.setattr("service.campaign.batch.PAUSE_S", 0.01)

    def limited(call):
        seen = set()

        def refuse_first(*arguments, **options):
            if arguments not in seen:
                seen.add(arguments)
                raise ServiceRefused("not now", where="RATE_LIMITED")
            return call(*arguments, **options)

        return refuse_first

    first = campaign(client, "limited", labels)
    assert first.published["number"] == 1
    monkeypatch.setattr(client, "snapshots", limited(client.snapshots))
    monkeypatch.setattr(client, "job", limited(client.job))
    assert campaign(client, "limited", labels).published == first.published


def test_what_the_newest_snapshot_lacks_is_published_again(client, labels):
    one, other = ({name: labels[name]} for name in "ab")
    assert campaign(client, "replaced", one).published["number"] == 1
    assert campaign(client, "replaced", other, extend=False).published["number"] == 2
    third = campaign(client, "replaced", one).published
    assert (third["number"], third["summary"]["totals"]["train"]["samples"]) == (3, 16)
    assert campaign(client, "replaced", one).published == third
    # The newest one extends the second, which holds the other drive.
    assert campaign(client, "replaced", other).published["number"] == 2
    for number in (4, 4):
        alone = campaign(client, "replaced", other, extend=False).published
        assert (alone["number"], alone["summary"]["totals"]["train"]["samples"]) == (number, 8)
    assert campaign(client, "replaced", one, extend=False).published["number"] == 5


def test_a_site_that_fails_with_one_more_drive_leaves_the_labels_of_the_smaller_one(client, service, ledger, tmp_path):
    own = {name: write_town(tmp_path / "own", i) for i, name in enumerate("abc", start=31)}
    meeting = {
        name: add_job(ledger, service.home, [town], ground=ground(50.0 * i))
        for i, (name, town) in enumerate(own.items())
    }
    known = np.ones((40, 20), bool)  # twice as much as the drives alone know
    site = add_job(ledger, service.home, [write_town(tmp_path / "site", i, known=known) for i in (31, 32)])
    two = {name: meeting[name] for name in "ab"}
    body = {"kind": "snapshot", "dataset": "kept", "jobs": [*two.values(), site], "splits": SPLITS}
    first = client.job(client.submit(body)["id"], wait_s=60)
    assert first["state"] == "succeeded", first["failure"]
    again = campaign(client, "kept", two)  # the drives lie outside the service's roots: their site is refused
    assert [one.job["failure"]["code"] for one in again.sites] == ["PATH_REFUSED"]
    assert again.published["number"] == 1
    grown = campaign(client, "kept", meeting)
    assert [one.drives for one in grown.sites] == [("/a", "/b", "/c")]
    assert (grown.snapshot["spec"]["jobs"], grown.snapshot["spec"]["extends"]) == ([meeting["c"]], first["id"])
    assert grown.published["summary"]["totals"]["train"]["coverage"] == pytest.approx((1.0 + 1.0 + 0.5) / 3, abs=1e-6)
    assert campaign(client, "kept", meeting).published == grown.published
    alone = campaign(client, "kept", meeting, extend=False).published
    assert (alone["number"], alone["summary"]["totals"]["train"]["coverage"]) == (3, 0.5)
