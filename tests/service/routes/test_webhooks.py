"""Webhooks over REST, with real receivers: of one tenant, signed, at least once, and through deaths of the service."""

import json
import time

import httpx
import pytest
from receiver import Receiver
from typer.testing import CliRunner

import roadscribe
from service.cli.app import app
from service.client import Client, ServiceRefused
from service.ledger.api_keys import READ, ApiKeys
from service.ledger.database import open_database
from service.webhooks.signature import SignatureInvalid

OPERATOR = "key-of-the-operator-0123456789"
SETTINGS = {
    "ROADSCRIBE_API_KEY": OPERATOR,
    "ROADSCRIBE_WEBHOOK_NETWORKS": "127.0.0.1/32",
    "ROADSCRIBE_WEBHOOK_RETRY_S": "0.05",
}


@pytest.fixture(scope="module")
def hooked(start_service, tmp_path_factory):
    service = start_service(tmp_path_factory.mktemp("hooked"), executor="none", **SETTINGS)
    yield service
    assert service.stop() == 0


@pytest.fixture(scope="module")
def keys(hooked):
    engine = open_database(f"sqlite:///{hooked.home / 'ledger.sqlite3'}")
    made = ApiKeys(engine)
    yield {"one": made.create("one"), "two": made.create("two"), "reader": made.create("one", scopes=[READ])}
    engine.dispose()


@pytest.fixture
def tenant(hooked, keys):
    with Client(hooked.url, api_key=keys["one"]) as client:
        yield client
        for one in client.webhooks():
            client.delete_webhook(one["id"])


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


def cancelled(client, body):
    return client.cancel(client.submit(body())["id"])["id"]


def wait_for(check, limit_s=30):
    deadline = time.monotonic() + limit_s
    while not (found := check()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def ended(client, hook, count=1):
    def check():
        found = client.deliveries(hook["id"])["deliveries"]
        return found if len([one for one in found if one["state"] != "pending"]) >= count else None

    return wait_for(check)


def test_an_end_of_a_job_arrives_signed(tenant, receiver, body):
    hook = tenant.create_webhook(receiver.url)
    job_id = cancelled(tenant, body)
    (one,) = receiver.wait(1)
    event = roadscribe.verify_webhook(hook["secret"], one.headers, one.body)
    assert (event["type"], event["job"]["id"], event["job"]["tenant"]) == ("job.cancelled", job_id, "one")
    assert one.headers["content-type"] == "application/json"
    assert one.headers["user-agent"].startswith("Roadscribe/")
    with pytest.raises(SignatureInvalid):
        roadscribe.verify_webhook(hook["secret"], one.headers, one.body.replace(b"cancelled", b"succeeded"))
    (delivery,) = ended(tenant, hook)
    assert (delivery["id"], delivery["job"]) == (one.headers["webhook-id"], job_id)
    assert (delivery["state"], delivery["status"], delivery["attempts"]) == ("delivered", 204, 1)
    listed = tenant.webhooks()
    assert [entry["id"] for entry in listed] == [hook["id"]]
    assert "secret" not in listed[0]


@pytest.mark.slow
def test_a_receiver_that_is_down_is_tried_again_and_a_message_sent_anew(tenant, receiver, body):
    receiver.answer = lambda _: (503, {}) if len(receiver.received) < 3 else (200, {})
    hook = tenant.create_webhook(receiver.url)
    cancelled(tenant, body)
    received = receiver.wait(3)
    assert len({one.headers["webhook-id"] for one in received}) == 1
    (delivery,) = ended(tenant, hook)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)
    again = tenant.redeliver(hook["id"], delivery["id"])
    assert again["state"] == "pending"
    assert receiver.wait(4)[3].headers["webhook-id"] == delivery["id"]
    assert receiver.received[3].body == received[0].body


@pytest.mark.slow
def test_a_receiver_that_is_gone_disables_the_webhook(tenant, receiver, body):
    receiver.answer = lambda _: (410, {})
    hook = tenant.create_webhook(receiver.url)
    cancelled(tenant, body)
    found = wait_for(lambda: [one for one in tenant.webhooks() if one["disabled_at"]])[0]
    assert "410" in found["disabled_because"]
    with pytest.raises(ServiceRefused) as caught:
        tenant.ping_webhook(hook["id"])
    assert caught.value.where == "WEBHOOK_DISABLED"
    cancelled(tenant, body)  # waits
    receiver.answer = lambda _: (200, {})
    assert tenant.enable_webhook(hook["id"])["disabled_at"] is None
    receiver.wait(2)
    ping = tenant.ping_webhook(hook["id"])
    assert json.loads(receiver.wait(3)[2].body)["type"] == "webhook.ping"
    assert ping["type"] == "webhook.ping"


def test_webhooks_belong_to_a_tenant(hooked, keys, tenant, receiver, body):
    hook = tenant.create_webhook(receiver.url, ["job.cancelled"])
    with Client(hooked.url, api_key=keys["two"]) as other:
        cancelled(other, body)
        assert other.webhooks() == []
        for call in (other.delete_webhook, other.enable_webhook, other.ping_webhook, other.deliveries):
            with pytest.raises(ServiceRefused) as caught:
                call(hook["id"])
            assert caught.value.where == "WEBHOOK_UNKNOWN"
        other.delete_webhook(other.create_webhook(receiver.url)["id"])
    with Client(hooked.url, api_key=OPERATOR) as operator:
        assert hook["id"] in [one["id"] for one in operator.webhooks()]
    with Client(hooked.url, api_key=keys["reader"]) as reader:
        assert len(reader.webhooks()) == 1
        with pytest.raises(ServiceRefused) as caught:
            reader.create_webhook(receiver.url)
        assert caught.value.where == "SCOPE_MISSING"
    job_id = cancelled(tenant, body)
    assert [json.loads(one.body)["job"]["id"] for one in receiver.wait(1)] == [job_id]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"url": "https://10.0.0.1/x"}, 422, "ADDRESS_REFUSED"),
        ({"url": "https://[::1]/x"}, 422, "ADDRESS_REFUSED"),
        ({"url": "https://169.254.169.254/x"}, 422, "ADDRESS_REFUSED"),
        ({"url": "http://1.1.1.1/x"}, 422, "ADDRESS_REFUSED"),
        ({"url": "http://127.0.0.2/x"}, 422, "ADDRESS_REFUSED"),
        ({"url": "ftp://1.1.1.1/x"}, 422, "REQUEST_INVALID"),
        ({"url": "https://1.1.1.1/" + "x" * 2000}, 422, "REQUEST_INVALID"),
        ({"url": "https://1.1.1.1/x y"}, 422, "REQUEST_INVALID"),
        ({"url": "https://1.1.1.1/x", "events": []}, 422, "REQUEST_INVALID"),
        ({"url": "https://1.1.1.1/x", "events": ["job.queued"]}, 422, "REQUEST_INVALID"),
        ({"url": "https://1.1.1.1/x", "secret": "mine"}, 422, "REQUEST_INVALID"),
        ([], 422, "REQUEST_INVALID"),
    ],
)
def test_a_wrong_registration_is_refused_with_the_place(hooked, keys, sent, status, code):
    headers = {"Authorization": f"Bearer {keys['one']}"}
    answer = httpx.post(f"{hooked.url}/v1/webhooks", json=sent, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"]


def test_an_address_is_registered_once(tenant, receiver):
    tenant.create_webhook(receiver.url)
    with pytest.raises(ServiceRefused) as caught:
        tenant.create_webhook(receiver.url)
    assert caught.value.where == "WEBHOOK_EXISTS"


def test_metrics_count_what_was_sent_and_what_waits(hooked, tenant, receiver, body):
    hook = tenant.create_webhook(receiver.url)
    cancelled(tenant, body)
    ended(tenant, hook)
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    text = httpx.get(f"{hooked.url}/metrics", headers=headers, trust_env=False).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["roadscribe_webhook_deliveries_total"]) >= 1
    assert {f"roadscribe_{name}" for name in ("outbox_pending", "outbox_age_seconds", "webhooks_disabled")} <= set(
        values
    )


@pytest.mark.slow
def test_the_command_line_does_the_same(hooked, keys, receiver, tenant, body):
    environment = {"ROADSCRIBE_URL": hooked.url, "ROADSCRIBE_API_KEY": keys["one"]}

    def run(*words):
        done = CliRunner().invoke(app, ["webhooks", *words], env=environment, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    hook, secret = run("create", receiver.url).split()
    assert secret.startswith("whsec_")
    assert hook in run("list")
    message = run("ping", hook)
    wait_for(lambda: "delivered" in run("deliveries", hook))
    assert run("redeliver", hook, message) == "pending"
    receiver.wait(2)
    assert json.loads(run("deliveries", hook, "--json"))["deliveries"][0]["id"] == message
    assert run("enable", hook) == "enabled"
    assert run("delete", hook) == "deleted"
    assert run("list") == ""


@pytest.mark.slow
def test_a_kill_between_commit_and_delivery_loses_nothing(start_service, tmp_path, body):
    receiver = Receiver()
    service = start_service(tmp_path, executor="none", **SETTINGS)
    try:
        with Client(service.url, api_key=OPERATOR) as client:
            hook = client.create_webhook(receiver.url)
            ids = []
            for _ in range(5):
                ids += [cancelled(client, body) for _ in range(4)]
                service.kill()  # what the last answer says is committed; little of it is sent
                service.start(port=service.port)
            secret = hook["secret"]

            def arrived():
                events = [roadscribe.verify_webhook(secret, one.headers, one.body) for one in list(receiver.received)]
                return {event["job"]["id"] for event in events} >= set(ids)

            wait_for(arrived, limit_s=120)  # a message that was on its way waits for the end of its lease
            page = wait_for(
                lambda: (
                    page
                    if {(page := client.deliveries(hook["id"], limit=100))["next"]} == {None}
                    and {one["state"] for one in page["deliveries"]} == {"delivered"}
                    else None
                ),
                limit_s=120,
            )
            assert sorted(one["job"] for one in page["deliveries"]) == sorted(ids)
    finally:
        receiver.stop()
        service.stop()


@pytest.mark.slow
def test_two_processes_send_each_message_once(start_service, tmp_path, body):
    receiver = Receiver(lambda _: (time.sleep(0.05), (200, {}))[1])
    one = start_service(tmp_path, executor="none", **SETTINGS)
    two = start_service(tmp_path, executor="none", **SETTINGS)
    try:
        with Client(one.url, api_key=OPERATOR) as client:
            hook = client.create_webhook(receiver.url)
            ids = [cancelled(client, body) for _ in range(30)]
            ended(client, hook, count=30)
        assert sorted(json.loads(got.body)["job"]["id"] for got in receiver.received) == sorted(ids)
    finally:
        receiver.stop()
        one.stop()
        two.stop()
