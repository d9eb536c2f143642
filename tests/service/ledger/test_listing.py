import pytest

from recon.errors import WorkerLost
from service.ledger.leases import Leases
from service.ledger.listing import Filters, Listing
from service.ledger.submissions import QuotaExceeded
from workers.jobs.export import ExportJob
from workers.jobs.label import LabelJob
from workers.jobs.probe import ProbeConfig, ProbeJob


@pytest.fixture
def listing(engine):
    return Listing(engine)


def submit(submissions, salt="", **options):
    return submissions.submit(ProbeJob(probe=ProbeConfig(salt=salt)), **options).job["id"]


def test_pages_hold_every_job_once(submissions, listing):
    ids = [submit(submissions) for _ in range(7)]
    seen, cursor = [], None
    while True:
        jobs, cursor = listing.page(Filters(), limit=3, before=cursor)
        seen += [job["id"] for job in jobs]
        submit(submissions)  # newer jobs must not shift the pages
        if cursor is None:
            break
    assert seen == ids[::-1]
    assert listing.page(Filters(state="failed")) == ([], None)


def test_a_summary_does_not_grow_with_its_job(submissions, listing, leases):
    drives = [submit(submissions) for _ in range(50)]
    submissions.submit(ProbeJob(probe=ProbeConfig(salt="x" * 900_000), after=tuple(drives)))
    submissions.submit(LabelJob(drive="/data/" + "d" * 4000))
    claim = leases.claim()
    leases.fail(claim, WorkerLost("m" * 100_000, where="w" * 100_000))
    page = listing.page(Filters(), limit=500)[0]
    assert max(len(str(job)) for job in page) < 2000
    assert page[0]["sources"].startswith("/data/ddd")
    assert (page[1]["state"], page[1]["progress"]["total"]) == ("blocked", 50)


def test_filters_narrow_a_list(submissions, listing):
    mine, other = submit(submissions, tenant="a"), submit(submissions, tenant="b")
    exported = submissions.submit(ExportJob(job=mine, format="geopackage"), tenant="a").job

    def ids(**filters):
        return [job["id"] for job in listing.page(Filters(**filters))[0]]

    assert ids() == [exported["id"], other, mine]
    assert ids(tenant="a") == [exported["id"], mine]
    assert ids(tenant="a", state="queued") == [mine]
    assert ids(kind="export") == [exported["id"]]
    assert ids(ids=(mine, other, "another")) == [other, mine]
    assert ids(ids=(mine, other), tenant="a") == [mine]
    assert ids(created_after=exported["created_at"]) == []
    assert ids(created_before=exported["created_at"]) == [other, mine]


def test_a_waiting_job_gives_the_reason(submissions, listing, engine):
    first, second = submit(submissions), submit(submissions)
    other = submit(submissions, tenant="other")
    assert listing.waiting_for(first, 15.0)["reason"] == "executor"
    leases = Leases(engine, "one")
    leases.beat()
    assert listing.waiting_for(second, 15.0) == {
        "reason": "turn",
        "detail": "1 queued jobs of the tenant go first",
        "ahead": 1,
    }
    assert listing.waiting_for(other, 15.0)["ahead"] == 0
    waits = submissions.submit(ProbeJob(after=(first, second))).job["id"]
    assert listing.waiting_for(waits, 15.0)["jobs"] == [first, second]
    claim = leases.claim()
    assert listing.waiting_for(claim.job_id, 15.0) is None
    leases.fail(claim, WorkerLost())
    reason = listing.waiting_for(claim.job_id, 15.0)
    assert reason["reason"] == "pause"
    assert "WORKER_LOST" in reason["detail"]
    assert [a["outcome"] for a in listing.attempts(claim.job_id)] == ["retry_wait"]


def test_keys_equal_jobs_and_quotas_belong_to_a_tenant(submissions):
    one = submit(submissions, key="k", tenant="a")
    assert submit(submissions, key="k", tenant="a") == one
    assert submit(submissions, key="k", tenant="b") != one
    assert submit(submissions, dedupe=True, tenant="a") == one
    assert submit(submissions, dedupe=True, tenant="c") != one
    assert submit(submissions, "2", tenant="a", most_open=2) != one
    with pytest.raises(QuotaExceeded):
        submit(submissions, "3", tenant="a", most_open=2)
    assert submit(submissions, key="k", tenant="a", most_open=2) == one
    submissions.cancel(one)
    submit(submissions, "3", tenant="a", most_open=2)
