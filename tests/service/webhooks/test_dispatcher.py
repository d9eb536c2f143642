"""The loop that empties the outbox, with real receivers: nobody's backlog or slowness holds up the others."""

import threading
import time

import pytest
from receiver import Receiver
from sqlalchemy import func, select
from structlog.testing import capture_logs

from service.ledger import tables
from service.ledger.database import migrate, open_database, reading, writing
from service.ledger.outbox.deliveries import MOST_PURGED, Deliveries
from service.ledger.outbox.webhooks import Webhooks
from service.webhooks import dispatcher as module
from service.webhooks.addresses import AddressGuard, parse_networks
from service.webhooks.dispatcher import Dispatcher
from service.webhooks.post import Poster
from service.webhooks.signature import SigningKey

KEY = SigningKey(b"k" * 32)
PATIENT_S = 120.0  # no attempt of these tests ends because a receiver is slow


@pytest.fixture(autouse=True)
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.02)
    engine = open_database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    migrate(engine, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def webhooks(engine):
    return Webhooks(engine, KEY.id)


@pytest.fixture
def deliveries(engine):
    return Deliveries(engine, KEY.id)


@pytest.fixture
def dispatcher(deliveries):
    guard = AddressGuard(parse_networks("127.0.0.1/32"))
    dispatcher = Dispatcher(deliveries, KEY, Poster(guard, longest_s=PATIENT_S), agent="test")
    yield dispatcher
    dispatcher.stop()
    if dispatcher.ident:
        dispatcher.join()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


def wait_for(check, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_message_for_which_there_was_no_thread_is_sent_later(
    webhooks, deliveries, dispatcher, receiver, no_new_threads
):
    hook = webhooks.create("acme", receiver.url)
    with capture_logs() as log:
        dispatcher.start()
        with no_new_threads():
            deliveries.ping(hook.id)
            wait_for(lambda: "webhooks.bug" in [line["event"] for line in log])
    receiver.wait(1)


def test_a_tenant_with_many_slow_receivers_leaves_room_for_others(webhooks, deliveries, dispatcher):
    end = threading.Event()
    slow, quick = Receiver(lambda _: (end.wait(PATIENT_S), (204, {}))[1]), Receiver()
    try:
        for number in range(module.MOST_AT_ONCE):
            deliveries.ping(webhooks.create("many", f"{slow.url}/{number}").id)
        dispatcher.start()
        slow.wait(module.MOST_OF_A_TENANT)
        deliveries.ping(webhooks.create("other", quick.url).id)
        quick.wait(1)
        assert len(slow.received) == module.MOST_OF_A_TENANT
        end.set()
        slow.wait(module.MOST_AT_ONCE)
    finally:
        end.set()
        slow.stop()
        quick.stop()


def test_a_backlog_takes_turns_with_the_others(webhooks, deliveries, dispatcher, receiver, monkeypatch):
    monkeypatch.setattr(module, "TURN_S", 0.0)  # one message
    monkeypatch.setattr(module, "MOST_AT_ONCE", 1)
    for tenant in "abc":
        hook = webhooks.create(tenant, f"{receiver.url}/{tenant}")
        for _ in range(3):
            deliveries.ping(hook.id)
    dispatcher.start()
    order = [one.path[-1] for one in receiver.wait(9)]
    assert [sorted(order[at : at + 3]) for at in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_all_that_ended_long_ago_goes_soon(engine, webhooks, dispatcher):
    hook = webhooks.create("acme", "https://a.example/")
    row = {"webhook_id": hook.id, "type": "job.failed", "body": "{}", "created_at": 1, "due_at": 1, "ended_at": 2}
    rows = [row | {"id": f"old {number}", "state": "delivered"} for number in range(2 * MOST_PURGED + 1)]
    with writing(engine) as connection:
        connection.execute(tables.delivery.insert(), rows)
    dispatcher.start()

    def none_left():
        with reading(engine) as connection:
            return connection.execute(select(func.count()).select_from(tables.delivery)).scalar_one() == 0

    wait_for(none_left)
