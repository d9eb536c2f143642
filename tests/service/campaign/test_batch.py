"""Many jobs through a running service: so many at once, each once, and again only where that helps."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest

from service.campaign.batch import Order, settle
from service.campaign.campaign import _site_order
from service.cli.job_options import site_spec
from service.client import ServiceRefused

pytestmark = pytest.mark.slow


def orders(*scripts, seconds=0.0):
    """Return an order of a probe for each script, unlike those of other tests."""
    salt = uuid.uuid4().hex
    specs = [
        {"kind": "probe", "probe": {"script": list(script), "seconds": seconds, "salt": f"{salt}-{i}"}}
        for i, script in enumerate(scripts)
    ]
    return [Order(name=f"{i}", spec=spec, key=f"{salt}-{i}") for i, spec in enumerate(specs)]


class Seen:
    """Takes the counts of a batch."""

    def __init__(self):
        self.counts, self.failures = [], []

    def __call__(self, *, done, total, failed, running, failure):
        self.counts.append((done, total, failed, running))
        self.failures += [failure] if failure else []


def ids(jobs):
    return {name: job["id"] for name, job in jobs.items()}


def test_a_batch_has_a_bounded_number_of_open_jobs(client):
    batch, seen, most = orders(*[()] * 7, seconds=0.05), Seen(), []
    submit = client.submit

    def watched(spec, **options):
        job = submit(spec, **options)
        mine = [one for one in client.jobs(limit=100)["jobs"] if one["id"] in (*known, job["id"])]
        known.add(job["id"])
        most.append(sum(one["state"] != "succeeded" for one in mine))
        return job

    known = set()
    client.submit = watched
    jobs = settle(client, batch, at_once=3, standing=seen)
    assert [job["state"] for job in jobs.values()] == ["succeeded"] * 7
    assert list(jobs) == [order.name for order in batch]
    assert max(most) <= 3
    assert seen.counts[-1] == (7, 7, 0, 0)


def test_the_same_batch_is_the_same_jobs_and_faults_stay_faults(client):
    batch, seen = orders((), ("bug",)), Seen()
    first = settle(client, batch, at_once=9, standing=seen)
    assert [job["state"] for job in first.values()] == ["succeeded", "failed"]
    assert [failure.partition(":")[0] for failure in seen.failures] == ["1"]
    assert ids(settle(client, batch, at_once=9, standing=Seen())) == ids(first)
    again = settle(client, batch, at_once=9, standing=Seen(), again=True)
    assert (again["0"]["id"], again["1"]["state"]) == (first["0"]["id"], "succeeded")
    # A later run that is told of the retry takes it for the job of the key.
    known = {batch[1].key: again["1"]["id"]}
    assert ids(settle(client, batch, at_once=9, standing=Seen(), known=known)) == ids(again)
    assert ids(settle(client, batch, at_once=9, standing=Seen(), known={batch[0].key: "gone"})) == ids(first)


def test_a_cancelled_job_is_tried_again_by_the_next_run(client):
    (order,) = batch = orders((), seconds=1.0)
    job = client.submit(dict(order.spec), key=order.key)
    client.cancel(job["id"])
    assert client.job(job["id"], wait_s=30)["state"] == "cancelled"
    (after,) = settle(client, batch, at_once=1, standing=Seen()).values()
    assert (after["id"] != job["id"], after["state"]) == (True, "succeeded")


def test_a_refused_job_is_an_answer_and_does_not_stop_the_others(client):
    good, bad = orders((), ("nonsense",))
    jobs = settle(client, [bad, good], at_once=1, standing=Seen())
    assert [job["state"] for job in jobs.values()] == ["refused", "succeeded"]
    assert jobs[bad.name]["failure"]["code"] == "JOB_INVALID"


@pytest.mark.parametrize("code", ["RATE_LIMITED", "QUOTA_EXCEEDED"])
def test_limits_of_a_key_are_waited_for(client, monkeypatch, code):
    monkeypatch.setattr("service.campaign.batch.PAUSE_S", 0.01)
    submit, refusals = client.submit, [ServiceRefused("not now", where=code)] * 2

    def limited(spec, **options):
        if refusals:
            raise refusals.pop()
        return submit(spec, **options)

    client.submit = limited
    jobs = settle(client, orders(()), at_once=5, standing=Seen())
    assert jobs["0"]["state"] == "succeeded"


def test_a_site_that_failed_is_told_by_its_drives():
    class Refusing:
        def submit(self, spec, key):
            failure = {"code": "TRIPS_APART", "message": "the trips do not show the same place", "retryable": False}
            return {"id": "1", "state": "failed", "failure": failure}

    plan, seen = SimpleNamespace(site=site_spec(None), one_frame=False), Seen()
    settle(Refusing(), [_site_order(plan, ["a", "b"])], at_once=1, standing=seen)
    assert seen.failures == ["site of 2 drives: TRIPS_APART: the trips do not show the same place"]
