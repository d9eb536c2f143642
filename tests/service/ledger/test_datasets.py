"""Snapshots in the ledger: numbered without gaps, never lost between two writers, and of one tenant each."""

import pytest
from sqlalchemy import select

from service.ledger import tables
from service.ledger.database import writing
from service.ledger.datasets import Datasets, SnapshotSuperseded, SplitsFixed, add_snapshot
from workers.jobs.probe import ProbeConfig, ProbeJob

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
