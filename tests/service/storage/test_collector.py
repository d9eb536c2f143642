"""Two-phase collection: nothing that is needed goes, and nothing goes at once."""

import hashlib
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from recon.errors import ConfigInvalid
from service.executor import Executor
from service.ledger import tables
from service.ledger.database import writing
from service.settings import Settings
from service.storage.bucket import Bucket, object_path
from service.storage.collector import Age, Collector
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool

DAY_S = 86400.0


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path, min_free_mb=0, publish_url=f"file://{tmp_path / 'published'}")


@pytest.fixture
def job(settings, engine, submissions, leases):
    """Run a probe and return its record."""
    pool = LocalPool()
    job_id = submissions.submit(ProbeJob(probe=ProbeConfig(size=1000))).job["id"]
    Executor(settings, [pool], leases).slots[0].run(leases.claim())
    pool.close()
    job = submissions.get(job_id)
    assert job["state"] == "succeeded"
    return job


@pytest.fixture
def collect(settings, engine):
    """Collect as it is after some days and return (action, stage or kind) of each finding."""

    def run(days, dry_run=False, **ages):
        collector = Collector(settings.home, engine, Age(**ages), Bucket(settings.publish_url))
        collector._now = time.time() + days * DAY_S
        found = collector.collect(dry_run=dry_run)
        assert not any(one.what.endswith(".lock") for one in found)
        return [(one.action, one.what.split("-")[0]) for one in found if not one.what.startswith("store/work")]

    return run


def objects(settings, stage):
    return list((settings.home / "store" / "objects" / stage).glob("*"))


def age(path, days):
    at = time.time() - days * DAY_S
    os.utime(path, (at, at))


def test_what_is_published_or_in_use_stays(settings, job, collect):
    assert collect(1) == []
    assert collect(400) == [("condemn", "first")]  # the input of the published stage
    assert len(objects(settings, "second")) == 1


def test_a_result_is_condemned_first_and_deleted_later(settings, job, collect):
    (first,) = objects(settings, "first")
    age(first, 20)
    assert collect(0, dry_run=True) == [("condemn", "first")]
    assert collect(0, dry_run=True) == [("condemn", "first")]  # the dry run changed nothing
    assert collect(0) == [("condemn", "first")]
    assert collect(6.9) == []
    assert collect(7.1, dry_run=True) == [("delete", "first")]
    assert first.exists()
    assert collect(7.1) == [("delete", "first")]
    assert not first.exists()
    assert collect(7.1) == []


def test_a_condemned_result_that_a_job_used_stays(settings, job, collect, submissions, leases):
    (first,) = objects(settings, "first")
    (second,) = objects(settings, "second")
    age(first, 20)
    assert collect(0) == [("condemn", "first")]
    pool = LocalPool()
    submissions.submit(ProbeJob(probe=ProbeConfig(size=1000)))
    Executor(settings, [pool], leases).slots[0].run(leases.claim())
    pool.close()
    assert collect(10) == []
    assert collect(30) == [("condemn", "first")]  # its first mark was taken back
    assert (first.exists(), second.exists()) == (True, True)


def test_a_result_that_was_used_once_after_it_was_condemned_goes_in_the_end(settings, job, collect):
    (first,) = objects(settings, "first")
    mark = settings.home / "store" / "condemned" / f"first-{first.name}"
    age(first, 110)
    assert collect(-90) == [("condemn", "first")]
    age(mark, 90)
    age(first, 85)  # and no collection came while that was recent
    assert collect(0) == [("condemn", "first")]
    assert collect(6.9) == []
    assert collect(7.1) == [("delete", "first")]
    assert not first.exists()


@pytest.fixture
def deleted(settings, engine, submissions):
    """Collect with every age at 0, some days from now, and return the paths of what was deleted in one phase."""
    submissions.submit(ProbeJob())

    def run(days):
        collector = Collector(settings.home, engine, Age(unused=0.0, condemned=0.0))
        collector._now = time.time() + days * DAY_S
        return [one.what for one in collector.collect(dry_run=False)]

    return run


def test_the_work_of_a_running_stage_stays_whatever_its_age(settings, deleted, leases):
    claim = leases.claim()
    for name in ("first-k", "train-k"):
        (settings.home / "store" / "work" / name / "token").mkdir(parents=True)
    leases.hold_stage(claim, "first-k")
    assert deleted(0.9) == []  # what a training saved may be gone on from
    assert deleted(1.1) == ["store/work/train-k"]
    leases.leave_stage(claim, "first-k")
    assert deleted(1.1) == ["store/work/first-k"]


@pytest.mark.parametrize("gone", ["file", "folder"])
def test_a_file_that_vanishes_during_a_collection_ends_it_not(settings, deleted, monkeypatch, gone):
    folder = settings.home / "store" / "work" / "first-k"
    folder.mkdir(parents=True)
    (folder / "half.npy").write_bytes(b"x")
    stat, times = Path.stat, []

    def vanishing(path, **options):
        if path.name == "half.npy" and not times:
            times.append(1)
            path.unlink()
            if gone == "folder":
                folder.rmdir()
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", vanishing)
    assert deleted(2) == ["store/work/first-k"]
    assert not folder.exists()


def test_the_ledger_of_another_service_costs_nothing(settings, job, collect, engine):
    with writing(engine) as connection:
        for table in ("artifact", "event", "attempt"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("DELETE FROM job"))
    with pytest.raises(ConfigInvalid, match="knows no job"):
        collect(400)
    assert len(objects(settings, "second")) == 1


def test_released_files_go_from_store_and_bucket(settings, job, collect, submissions):
    sha256 = next(file.sha256 for file in submissions.artifacts(job["id"]) if file.path == "result.txt")
    assert Bucket(settings.publish_url).fetch(sha256, settings.home / "back")
    assert collect(29, published=30.0) == [("condemn", "first")]
    found = collect(31, published=30.0)
    # The stage's result, its report, and the objects of both files.
    assert [action for action, _ in found] == ["release", "delete", "condemn", "delete", *["condemn"] * 2]
    assert submissions.artifacts(job["id"]) == []
    deleted = collect(60, published=30.0)
    assert [action for action, _ in deleted] == ["delete"] * 3
    assert objects(settings, "second") == []
    assert not Bucket(settings.publish_url).fetch(sha256, settings.home / "back")


@pytest.fixture
def condemned_object(settings, engine, submissions, collect, tmp_path):
    """Condemn an object that no job names, and return (bucket, sha256, its file)."""
    submissions.submit(ProbeJob())
    bucket, path = Bucket(settings.publish_url), tmp_path / "a"
    path.write_bytes(b"same bytes")
    sha256 = hashlib.sha256(b"same bytes").hexdigest()
    bucket.put_new(path, sha256)
    age(tmp_path / "published" / object_path(sha256), 40)
    assert [action for action, _ in collect(0)] == ["condemn"]
    return bucket, sha256, path


def test_an_object_that_a_job_publishes_again_is_not_deleted(condemned_object, collect):
    bucket, sha256, path = condemned_object
    bucket.put_new(path, sha256)  # its row comes at the job's end
    assert "delete" not in [action for action, _ in collect(8)]
    assert bucket.entry(object_path(sha256))


@pytest.mark.parametrize("how", ["published", "named"])
def test_an_object_is_looked_at_again_before_it_is_deleted(condemned_object, collect, monkeypatch, engine, how):
    bucket, sha256, path = condemned_object
    entries = Bucket.entries

    def meanwhile(self, prefix):
        yield from entries(self, prefix)
        if prefix == "objects/sha256" and how == "published":
            bucket.put_new(path, sha256)
        elif prefix == "objects/sha256":
            with writing(engine) as connection:
                job_id = connection.execute(text("SELECT id FROM job")).scalar_one()
                row = {"job_id": job_id, "path": "a", "sha256": sha256, "size_bytes": 10, "stored": "a"}
                connection.execute(tables.artifact.insert().values(**row))

    monkeypatch.setattr(Bucket, "entries", meanwhile)
    assert "delete" not in [action for action, _ in collect(8)]
    assert bucket.entry(object_path(sha256))


def test_a_snapshot_keeps_its_files(job, collect, engine, settings):
    with writing(engine) as connection:
        row = {"job": job["id"], "digest": hashlib.sha256(b"").hexdigest()}
        columns = "tenant, dataset, number, job_id, sha256, created_at, summary"
        connection.execute(text(f"INSERT INTO snapshot ({columns}) VALUES ('', 'd', 1, :job, :digest, 0, '{{}}')"), row)
    assert ("release", f"job {job['id']}".split("-")[0]) not in collect(400, published=30.0)
    with pytest.raises(ConfigInvalid):
        Collector(settings.home, engine, Age()).release(job["id"])
    assert len(objects(settings, "second")) == 1


def test_what_was_set_aside_is_kept_for_a_while(settings, job, collect):
    folder = settings.home / "store" / "damaged" / "second-k-1"
    folder.mkdir(parents=True)
    assert collect(10, unused=1e6) == []
    assert collect(31, unused=1e6) == [("delete", "store/damaged/second")]
    assert not folder.exists()
