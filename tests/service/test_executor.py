"""One executor in this process: what it makes of a job that it cannot run."""

from __future__ import annotations

from sqlalchemy import text

from service.executor import Executor
from service.ledger.database import writing
from service.settings import Settings
from workers.jobs.probe import ProbeJob
from workers.local_pool import LocalPool


def test_a_job_of_another_version_fails_and_leaves_the_executor_alive(tmp_path, engine, submissions, leases):
    job_id = submissions.submit(ProbeJob()).job["id"]
    with writing(engine) as connection:
        connection.execute(text("""UPDATE job SET spec = '{"kind": "probe", "of_old": 1}'"""))
    executor = Executor(Settings(home=tmp_path, min_free_mb=0), [LocalPool()], leases)
    executor.slots[0].run(leases.claim())
    job = submissions.get(job_id)
    assert (job["state"], job["failure"]["code"], job["attempt"]) == ("failed", "CONFIG_INVALID", 1)
    assert job["failure"]["hint"]
