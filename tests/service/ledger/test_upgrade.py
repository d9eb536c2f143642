"""A ledger that an earlier version wrote opens, and its jobs and keys keep their meaning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import service.ledger.database
from recon.artifact import digest_json
from service.ledger.database import migrate, open_database, writing
from service.ledger.leases import Leases
from service.ledger.submissions import KeyReused, Submissions
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.spec import spec_record


@pytest.fixture
def first_engine(database_url):
    """Make a ledger of the first schema: a job that succeeded, one that was given back, and the key of the first."""
    engine = open_database(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(service.ledger.database.__file__).parent / "migrations"))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for job_id, state, report in (("done", "succeeded", '{"stages": []}'), ("open", "queued", None)):
            spec = spec_record(ProbeJob(probe=ProbeConfig(salt=job_id)))
            del spec["after"]  # which that version did not have
            insert = text(
                "INSERT INTO job (id, kind, spec, natural_key, state, max_attempts, run_at, created_at, updated_at,"
                " report) VALUES (:id, 'probe', :spec, :natural, :state, 3, 1e9, 1e9, 1e9, :report)"
            )
            row = {"id": job_id, "spec": json.dumps(spec), "natural": digest_json(spec), "state": state}
            connection.execute(insert, row | {"report": report})
            key = text("INSERT INTO idempotency (key, body_sha256, job_id, created_at) VALUES (:id, :body, :id, 1e9)")
            connection.execute(key, {"id": job_id, "body": digest_json(spec)})
    yield engine
    engine.dispose()


def test_jobs_of_the_first_version_run_and_are_waited_for(first_engine, tmp_path):
    migrate(first_engine, tmp_path)
    submissions, leases = Submissions(first_engine), Leases(first_engine, "one", queue_limit_s=1e12)
    behind = submissions.submit(ProbeJob(after=("done", "open"))).job
    assert (behind["state"], behind["progress"]["waits_for"]) == ("blocked", ["open"])
    claim = leases.claim()
    assert claim.job_id == "open"
    leases.committing(claim)
    leases.succeed(claim, {}, [])
    assert leases.sweep() == 1
    assert leases.claim().job_id == behind["id"]


def test_a_key_of_the_first_version_still_names_its_job(first_engine, tmp_path):
    migrate(first_engine, tmp_path)
    submissions = Submissions(first_engine)
    again = submissions.submit(ProbeJob(probe=ProbeConfig(salt="done")), key="done")
    assert (again.job["id"], again.existed) == ("done", True)
    with pytest.raises(KeyReused):
        submissions.submit(ProbeJob(probe=ProbeConfig(salt="other")), key="done")
