"""What a campaign publishes through a running service, from drives that are labelled already."""

from __future__ import annotations

import pytest
from labelled_jobs import add_job, write_town

from service.campaign.campaign import CampaignPlan, _label_order, run_campaign
from service.campaign.drives import CampaignDrive
from service.cli.job_options import site_spec, snapshot_spec
from service.client import ServiceRefused
from service.ledger.database import open_database
from workers.jobs.label import LabelJob

pytestmark = pytest.mark.slow
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
