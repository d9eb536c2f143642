"""Signatures: as the convention says, and nothing that was changed passes."""

import base64
import hashlib
import hmac
import json
import stat
import time

import pytest

import roadscribe
from recon.errors import ConfigInvalid
from service.webhooks.signature import SignatureInvalid, SigningKey, signed_headers

KEY = SigningKey(b"k" * 32)
SECRET = KEY.secret("one")
BODY = b'{"type": "job.succeeded"}'


def test_the_signature_is_that_of_the_convention():
    headers = signed_headers(SECRET, "msg_1", BODY, 1_700_000_000.9)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = hmac.new(key, b"msg_1.1700000000." + BODY, hashlib.sha256).digest()
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": "v1," + base64.b64encode(expected).decode(),
    }
    assert len(key) == 32


def test_what_was_signed_is_accepted_and_returned():
    headers = signed_headers(SECRET, "msg_1", BODY, time.time())
    assert roadscribe.verify_webhook(SECRET, headers, BODY) == json.loads(BODY)
    upper = {name.title(): value for name, value in headers.items()}
    several = upper | {"Webhook-Signature": "v1,bm90aGluZw== v2,other " + headers["webhook-signature"]}
    assert roadscribe.verify_webhook(SECRET, several, BODY)


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({}, BODY + b" "),
        ({"webhook-id": "msg_2"}, BODY),
        ({"webhook-timestamp": str(int(time.time()) + 1)}, BODY),
        ({"webhook-timestamp": "1e9"}, BODY),
        ({"webhook-timestamp": ""}, BODY),
        ({"webhook-timestamp": "9" * 400}, BODY),
        ({"webhook-timestamp": "9" * 5000}, BODY),
        ({"webhook-id": ""}, BODY),
        ({"webhook-signature": ""}, BODY),
        ({"webhook-signature": "v1,é"}, BODY),
    ],
)
def test_what_was_changed_is_refused(changes, body):
    headers = signed_headers(SECRET, "msg_1", BODY, time.time() - 5) | changes
    with pytest.raises(SignatureInvalid):
        roadscribe.verify_webhook(SECRET, headers, body)


def test_another_version_or_secret_or_an_old_message_is_refused():
    good = signed_headers(SECRET, "msg_1", BODY, time.time())
    with pytest.raises(SignatureInvalid):
        roadscribe.verify_webhook(KEY.secret("other"), good, BODY)
    with pytest.raises(SignatureInvalid):
        second = good | {"webhook-signature": good["webhook-signature"].replace("v1", "v2")}
        roadscribe.verify_webhook(SECRET, second, BODY)
    for age_s in (400, -400):
        old = signed_headers(SECRET, "msg_1", BODY, time.time() - age_s)
        with pytest.raises(SignatureInvalid, match="clock"):
            roadscribe.verify_webhook(SECRET, old, BODY)
        assert roadscribe.verify_webhook(SECRET, old, BODY, tolerance_s=500)
    with pytest.raises(ConfigInvalid):
        roadscribe.verify_webhook("whsec_?", good, BODY)


def test_the_key_is_made_once_and_closed_to_others(tmp_path):
    key = SigningKey.of(tmp_path)
    assert SigningKey.of(tmp_path).secret("x") == key.secret("x") != key.secret("y")
    path = tmp_path / "webhook.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = SigningKey.of(tmp_path, "a key of the settings, long enough")
    assert other.id != key.id
    with pytest.raises(ConfigInvalid, match="32"):
        SigningKey.of(tmp_path, "short")
