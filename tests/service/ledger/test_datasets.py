"""Snapshots in the ledger: numbered without gaps, never lost between two writers, and of one tenant each."""

import json

import pytest
from sqlalchemy import select

from recon.errors import DriveInvalid
from service.ledger import tables
from service.ledger.database import writing
from service.ledger.datasets import Datasets, SnapshotSuperseded, SplitsFixed, add_snapshot
from workers.jobs.label import LabelJob
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.jobs.snapshot import SnapshotJob
from workers.spec import stored_spec

SHARES = {"validation": 0.1, "test": 0.1}


@pytest.fixture
def publish(engine, submissions):
    """Add the snapshot of a new job, and return the job's id."""

    def one(dataset="city", *, extends="", tenant="", splits=SHARES):
        spec = ProbeJob(probe=ProbeConfig(salt=f"{dataset} {extends} {tenant} {splits}"))
        job_id = submissions.submit(spec, tenant=tenant).job["id"]
        with writing(engine) as connection:
            job = connection.execute(select(tables.job).where(tables.job.c.id == job_id)).one()
            add_snapshot(connection, job, 1e9, {"dataset": dataset, "splits": splits, "sha256": job_id[:8]}, extends)
        return job_id

    return one


def test_snapshots_are_numbered_and_the_newest_is_listed(engine, publish):
    made = [publish("city"), publish("town"), publish("city")]
    datasets = Datasets(engine)
    assert [(one.dataset, one.number, one.job_id) for one in datasets.newest()] == [
        ("city", 2, made[2]),
        ("town", 1, made[1]),
    ]
    assert [one.number for one in datasets.snapshots("city")] == [2, 1]
    assert datasets.snapshot("city", 1).job_id == made[0]
    assert (datasets.snapshots("none"), datasets.snapshot("city", 3)) == ([], None)


def test_only_the_newest_snapshot_can_be_extended(engine, publish):
    first = publish()
    second = publish(extends=first)
    with pytest.raises(SnapshotSuperseded):
        publish(extends=first)
    with pytest.raises(SnapshotSuperseded):
        publish("town", extends=second)
    assert [one.number for one in Datasets(engine).newest()] == [2]


def test_splits_stay_those_of_the_first_snapshot(engine, publish):
    publish()
    with pytest.raises(SplitsFixed):
        publish(splits={"validation": 0.2, "test": 0.1})
    publish("town", splits={"validation": 0.2, "test": 0.1})


def test_a_name_means_the_dataset_of_its_tenant(engine, publish):
    mine, theirs = publish(tenant="one"), publish(tenant="two", splits={"validation": 0.5, "test": 0.0})
    datasets = Datasets(engine)
    assert [one.job_id for one in datasets.newest(tenant="one")] == [mine]
    assert datasets.snapshot("city", 1, tenant="two").job_id == theirs
    assert (datasets.newest(), datasets.snapshots("city", tenant="three")) == ([], [])


@pytest.fixture
def end(leases):
    """End the next job well, and return its id."""

    def one(report, extended=None):
        claim = leases.claim()
        leases.committing(claim)
        leases.succeed(claim, report, [], extended=extended)
        return claim.job_id

    return one


@pytest.fixture
def snapshots(submissions, end):
    """Publish two snapshots, the second extends the first; return the ids of their jobs."""
    labels = []
    for drive in ("/one", "/two"):
        labels.append(submissions.submit(LabelJob(drive=drive)).job["id"])
        end({"stages": []})
    first = submissions.submit(SnapshotJob(dataset="city", jobs=labels[:1], trips=(1,))).job["id"]
    end(summary("first"), "")
    second = submissions.submit(SnapshotJob(dataset="city", jobs=labels[1:], trips=(1,), extends=first)).job["id"]
    end(summary("second"), first)
    return first, second


def summary(sha256):
    return {"snapshot": {"dataset": "city", "splits": SHARES, "sha256": sha256}}


def spec_of(submissions, job_id):
    return stored_spec(json.dumps(submissions.get(job_id)["spec"]))


def test_a_job_that_makes_the_files_of_a_snapshot_again_adds_none(engine, submissions, end, snapshots):
    for number, extended in enumerate(("", snapshots[0])):
        spec = spec_of(submissions, snapshots[number])
        again = submissions.submit(spec, key=f"again-{number}", restores=snapshots[number]).job["id"]
        assert end(summary(("first", "second")[number]), extended) == again
        assert submissions.get(again)["state"] == "succeeded"
    found = Datasets(engine).snapshots("city")
    assert [(one.number, one.sha256, one.job_id) for one in found] == [
        (2, "second", snapshots[1]),
        (1, "first", snapshots[0]),
    ]


def test_the_retry_of_a_job_that_makes_files_again_is_another_one(engine, submissions, leases, end, snapshots):
    spec = spec_of(submissions, snapshots[0])
    again = submissions.submit(spec, key="again", restores=snapshots[0]).job["id"]
    leases.fail(leases.claim(), DriveInvalid())
    retried = submissions.submit(spec, dedupe=True, retry_of=again)
    assert not retried.existed
    assert submissions.submit(spec, dedupe=True, retry_of=again).job["id"] == retried.job["id"]
    end(summary("first"), "")
    assert [one.number for one in Datasets(engine).snapshots("city")] == [2, 1]


def test_equal_content_is_published_again_on_purpose(engine, submissions, end, snapshots):
    spec = spec_of(submissions, snapshots[0])
    again = submissions.submit(spec, key="again", restores=snapshots[0]).job["id"]
    end(summary("first"), "")
    assert submissions.submit(spec, dedupe=True).job["id"] == snapshots[0] != again
    published = submissions.submit(spec, key="on purpose").job["id"]
    end(summary("first"), "")
    assert [one.job_id for one in Datasets(engine).snapshots("city")] == [published, *reversed(snapshots)]
