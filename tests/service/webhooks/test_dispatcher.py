"""The loop that empties the outbox, with real receivers: nobody's backlog or slowness holds up the others."""

import time

import pytest
from receiver import Receiver
from structlog.testing import capture_logs

from service.ledger.database import migrate, open_database
from service.ledger.outbox.deliveries import Deliveries
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
