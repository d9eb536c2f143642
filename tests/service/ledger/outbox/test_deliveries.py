"""The outbox in the ledger: written with the change, sent once at a time, tried again, given up, and sent anew."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, select, text

from recon.errors import DriveInvalid
from service.ledger import tables
from service.ledger.changes import move
from service.ledger.clock import now
from service.ledger.database import reading, writing
from service.ledger.outbox.deliveries import LEASE_S, MOST_ATTEMPTS, Deliveries, Outcome, pause_s
from service.ledger.outbox.webhooks import MOST_OF_A_TENANT, TooManyWebhooks, WebhookExists, Webhooks
from workers.jobs.probe import ProbeConfig, ProbeJob

KEY = "0123456789abcdef"
counter = itertools.count()
OK, DOWN = Outcome(status=204), Outcome(status=500, error="HTTP 500")


@pytest.fixture
def webhooks(engine):
    return Webhooks(engine, KEY)


@pytest.fixture
def deliveries(engine):
    return Deliveries(engine, KEY)


@pytest.fixture
def cancelled(submissions):
    """Return the id of a new job of a tenant that ended."""

    def one(tenant="acme"):
        spec = ProbeJob(probe=ProbeConfig(salt=f"webhook {next(counter)}"))
        job_id = submissions.submit(spec, tenant=tenant).job["id"]
        submissions.cancel(job_id)
        return job_id

    return one


def let_time_pass(engine):
    """Make everything due: pauses, rests and leases are over."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE delivery SET due_at = 0"))
        connection.execute(text("UPDATE webhook SET rests_until = 0"))


def pages(deliveries, hook, **options):
    return deliveries.page(hook.id, **options)[0]


def test_an_end_of_a_job_is_written_for_each_webhook_that_wants_it(
    webhooks, deliveries, submissions, leases, cancelled
):
    every = webhooks.create("acme", "https://a.example/")
    failures = webhooks.create("acme", "https://b.example/", ["job.failed"])
    other = webhooks.create("other", "https://a.example/")
    spec = ProbeJob(probe=ProbeConfig(salt=f"webhook {next(counter)}"))
    failed = submissions.submit(spec, tenant="acme").job["id"]
    claim = leases.claim()
    leases.fail(claim, DriveInvalid("no images", where="drive.json"))
    gone = cancelled()
    assert [(one.type, one.job_id) for one in pages(deliveries, every)] == [
        ("job.cancelled", gone),
        ("job.failed", failed),
    ]
    assert [one.job_id for one in pages(deliveries, failures)] == [failed]
    assert pages(deliveries, other) == []
    body = json.loads(deliveries.claim(failures.id).body)
    assert (body["type"], body["job"]["id"], body["job"]["state"]) == ("job.failed", failed, "failed")
    assert body["job"]["failure"] == {"code": "DRIVE_INVALID", "message": "no images", "where": "drive.json"}
    assert body["job"]["url"] == f"/v1/jobs/{failed}"


def test_a_change_that_is_rolled_back_sends_nothing(engine, webhooks, deliveries, submissions):
    hook = webhooks.create("acme", "https://a.example/")
    job_id = submissions.submit(ProbeJob(), tenant="acme").job["id"]
    with pytest.raises(KeyError), writing(engine) as connection:
        row = connection.execute(select(tables.job).where(tables.job.c.id == job_id)).one()
        move(connection, row, "cancelled", now(connection))
        assert connection.execute(select(tables.delivery.c.id)).scalar_one()
        raise KeyError
    assert submissions.get(job_id)["state"] == "queued"
    assert pages(deliveries, hook) == []


def test_one_message_is_with_one_process_at_a_time(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    ids = {cancelled() for _ in range(12)}
    start = threading.Barrier(4)

    def drain(_):
        own, found = Deliveries(engine, KEY), []
        start.wait()
        while attempt := own.claim(hook.id):
            found.append(attempt)
        return found

    with ThreadPoolExecutor(4) as pool:
        claimed = [attempt for found in pool.map(drain, range(4)) for attempt in found]
    assert len({attempt.id for attempt in claimed}) == len(claimed) <= len(ids)
    while attempt := deliveries.claim(hook.id):  # passed over while another process looked at it
        claimed.append(attempt)
    assert {json.loads(attempt.body)["job"]["id"] for attempt in claimed} == ids
    assert all(attempt.number == 1 for attempt in claimed)


def test_a_message_whose_sender_died_is_sent_by_the_next(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled()
    first = deliveries.claim(hook.id)
    assert deliveries.claim(hook.id) is None
    (one,) = pages(deliveries, hook)
    assert one.due_at - one.attempted_at == pytest.approx(LEASE_S)
    let_time_pass(engine)
    second = deliveries.claim(hook.id)
    assert (second.id, second.body, second.number) == (first.id, first.body, 2)
    deliveries.record(first, DOWN)  # the first was only slow: its failure counts for nothing
    assert webhooks.get(hook.id, None).failures == 0
    deliveries.record(second, OK)
    deliveries.record(first, OK)
    (one,) = pages(deliveries, hook)
    assert (one.state, one.status, one.error) == ("delivered", 204, "")
    assert deliveries.figures()["webhook_deliveries_total"] == 1


def test_a_failure_is_tried_again_after_growing_pauses_and_then_disables(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled(), cancelled()
    later = cancelled()
    first = pages(deliveries, hook)[-1].id
    for number in range(1, MOST_ATTEMPTS + 1):
        attempt = deliveries.claim(hook.id)
        assert (attempt.id, attempt.number) == (first, number)  # the oldest goes first
        deliveries.record(attempt, DOWN)
        assert deliveries.due() == []  # the webhook rests
        assert deliveries.claim(hook.id) is None
        let_time_pass(engine)
    found = webhooks.get(hook.id, "acme")
    assert (found.failures, found.disabled_because) == (8, "8 failures in a row: HTTP 500")
    assert found.disabled_at is not None
    assert deliveries.due() == []
    assert deliveries.claim(hook.id) is None
    assert [one.state for one in pages(deliveries, hook)] == ["pending", "pending", "failed"]
    figures = deliveries.figures()
    assert (figures["webhooks_disabled"], figures["outbox_pending"], figures["webhook_failures_total"]) == (1, 0, 8)
    after = cancelled()
    webhooks.enable(hook.id)
    assert deliveries.figures()["outbox_pending"] == 3
    sent = []
    while attempt := deliveries.claim(hook.id):
        sent.append(json.loads(attempt.body)["job"]["id"])
        deliveries.record(attempt, OK)
    assert sent[-2:] == [later, after]
    assert len(sent) == 3


def test_pauses_grow_over_hours_and_differ():
    pauses = [pause_s(number, 5.0) for number in range(1, MOST_ATTEMPTS)]
    assert 3 * 3600 < sum(pauses) < 8 * 3600
    assert all(after > before for before, after in itertools.pairwise(pauses))
    assert len({pause_s(3, 5.0) for _ in range(10)}) > 1
    assert max(pause_s(failures, 5.0) for failures in (100, 513, 100_000)) <= 6 * 3600


def test_a_success_forgets_the_failures_before(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled(), cancelled()
    for outcome in (DOWN, DOWN, OK):
        deliveries.record(deliveries.claim(hook.id), outcome)
        let_time_pass(engine)
    found = webhooks.get(hook.id, None)
    assert (found.failures, found.disabled_at) == (0, None)


def test_a_receiver_that_is_gone_is_asked_once(webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled()
    deliveries.record(deliveries.claim(hook.id), Outcome(status=410, error="HTTP 410"))
    assert "410" in webhooks.get(hook.id, None).disabled_because
    assert [one.state for one in pages(deliveries, hook)] == ["failed"]


def test_a_message_is_sent_anew_under_its_id(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled()
    first = deliveries.claim(hook.id)
    assert deliveries.redeliver(hook.id, first.id).attempts == 1  # on its way now
    assert deliveries.claim(hook.id) is None
    deliveries.record(first, DOWN)
    assert deliveries.redeliver(hook.id, first.id).attempts == 0  # does not wait for its pause
    second = deliveries.claim(hook.id)
    deliveries.record(second, OK)
    assert deliveries.claim(hook.id) is None
    again = deliveries.redeliver(hook.id, first.id)
    assert (again.state, again.ended_at) == ("pending", None)
    third = deliveries.claim(hook.id)
    assert (third.id, third.body) == (first.id, first.body)
    assert deliveries.redeliver(hook.id, "msg_none") is None
    assert deliveries.redeliver("none", first.id) is None


def test_only_who_has_the_key_sends(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled()
    stranger = Deliveries(engine, "another key's id")
    assert (stranger.due(), stranger.claim(hook.id)) == ([], None)
    assert (Webhooks(engine, "another").with_another_key(), webhooks.with_another_key()) == (1, 0)
    assert deliveries.due() == [(hook.id, "acme")]


def test_a_deleted_webhook_takes_its_messages_along(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    cancelled()
    attempt = deliveries.claim(hook.id)
    webhooks.delete(hook.id)
    deliveries.record(attempt, OK)  # it was on its way
    assert webhooks.all("acme") == []
    with reading(engine) as connection:
        assert connection.execute(select(tables.delivery)).all() == []
    assert deliveries.ping(hook.id) is None


@pytest.mark.slow
def test_webhooks_come_and_go_while_jobs_end(engine, webhooks, submissions, cancelled):
    """No job's end fails because a webhook was deleted at that moment."""
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            webhooks.delete(webhooks.create("acme", "https://a.example/").id)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        ids = [cancelled() for _ in range(15)]
    finally:
        done.set()
        thread.join()
    assert {submissions.get(job_id)["state"] for job_id in ids} == {"cancelled"}


def test_addresses_are_registered_once_and_some_at_most(webhooks):
    for number in range(MOST_OF_A_TENANT):
        webhooks.create("acme", f"https://a.example/{number}")
    with pytest.raises(WebhookExists):
        webhooks.create("acme", "https://a.example/0")
    with pytest.raises(TooManyWebhooks):
        webhooks.create("acme", "https://b.example/")
    webhooks.create("other", "https://a.example/0")
    assert (len(webhooks.all("acme")), len(webhooks.all(None))) == (MOST_OF_A_TENANT, MOST_OF_A_TENANT + 1)


def test_old_messages_go_and_stuck_ones_end(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    for _ in range(3):
        cancelled()
    deliveries.record(deliveries.claim(hook.id), OK)
    with writing(engine) as connection:
        connection.execute(text("UPDATE delivery SET ended_at = 1 WHERE state = 'delivered'"))
        connection.execute(
            text(
                "UPDATE delivery SET created_at = 1 WHERE seq = (SELECT min(seq) FROM delivery WHERE state = 'pending')"
            )
        )
    assert deliveries.purge() == 2
    assert [(one.state, one.error) for one in pages(deliveries, hook)] == [("pending", ""), ("failed", "too old")]


def test_messages_come_in_pages(webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    ids = [cancelled() for _ in range(5)][::-1]
    seen, before = [], None
    while True:
        page, before = deliveries.page(hook.id, before=before, limit=2)
        seen += [one.job_id for one in page]
        if before is None:
            break
    assert seen == ids
    assert pages(deliveries, hook, state="delivered") == []


@pytest.mark.slow
def test_a_claim_does_not_read_what_was_delivered(engine, webhooks, deliveries, cancelled):
    hook = webhooks.create("acme", "https://a.example/")
    row = {"webhook_id": hook.id, "type": "job.failed", "body": "{}", "created_at": 1, "due_at": 1, "ended_at": 2e9}
    rows = [row | {"id": f"old {number}", "state": "delivered"} for number in range(20_000)]
    with writing(engine) as connection:
        connection.execute(tables.delivery.insert(), rows)
        connection.execute(text("ANALYZE"))
    cancelled()
    seen = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2:4]))
    assert deliveries.claim(hook.id)
    statement, parameters = next(one for one in seen if "FROM delivery" in one[0])
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with reading(engine) as connection:
        plan = "\n".join(str(found[-1]) for found in connection.exec_driver_sql(explain + statement, parameters))
    assert "delivery_next" in plan, plan
