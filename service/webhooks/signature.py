"""Signatures by the convention of Standard Webhooks: HMAC-SHA256 over id, timestamp and body.

The ledger holds no secret of a webhook. Each is derived from one key, a file of the service's home that only its owner
can read, and the webhook's id: whoever has the ledger alone can sign nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon.artifact import write_first
from recon.errors import ConfigInvalid, InputInvalid

PREFIX, VERSION = "whsec_", "v1"
KEY_FILE = "webhook.key"
SHORTEST_KEY = 32  # characters
TOLERANCE_S = 300.0
LONGEST_STAMP = 15  # digits: no clock shows more, and numbers of hundreds of digits are no seconds


class SignatureInvalid(InputInvalid):
    """The message does not have a valid signature."""

    code = "SIGNATURE_INVALID"


class SigningKey:
    """The key of a service, from which the secrets of its webhooks are derived."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = hmac.digest(key, b"roadscribe webhook key id", "sha256").hex()[:16]

    @classmethod
    def of(cls, home: Path, setting: str = "") -> SigningKey:
        """Return the key of the setting, or that of the home, which is made if there is none."""
        if setting:
            if len(setting) < SHORTEST_KEY:
                what = f"the key must have at least {SHORTEST_KEY} characters"
                raise ConfigInvalid(what, where="ROADSCRIBE_WEBHOOK_KEY")
            return cls(setting.encode())
        path = home / KEY_FILE
        # The folder is closed to others (mode 0700) from before this file is there.
        key = write_first(path, secrets.token_hex(32).encode())
        path.chmod(0o600)
        return cls(key)

    def secret(self, webhook_id: str) -> str:
        """Return the secret of a webhook, as its owner sees it once."""
        return PREFIX + base64.b64encode(hmac.digest(self._key, f"webhook {webhook_id}".encode(), "sha256")).decode()


def signed_headers(secret: str, message_id: str, body: bytes, at: float) -> dict[str, str]:
    """Return the headers that prove who sent a message, and when."""
    stamp = str(int(at))
    signature = f"{VERSION},{_signature(secret, message_id, stamp, body)}"
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature}


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: bytes, *, tolerance_s: float = TOLERANCE_S
) -> dict[str, Any]:
    """Return the event of a webhook's request; raises SignatureInvalid unless the service with this secret sent it.

    `headers` are those of the request, in any case of letters, and `body` its bytes as they came. A request that is
    older than `tolerance_s` is refused. An event may come twice: `webhook-id` is then the same.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not message_id or not stamp.isascii() or not stamp.isdigit() or len(stamp) > LONGEST_STAMP:
        raise SignatureInvalid("the message has no id or no timestamp")
    if abs(time.time() - int(stamp)) > tolerance_s:
        raise SignatureInvalid("the message is too old, or a clock is wrong", where=f"webhook-timestamp {stamp}")
    expected = _signature(secret, message_id, stamp, body).encode()
    found = [part.partition(",") for part in given.get("webhook-signature", "").split()]
    if not any(kind == VERSION and hmac.compare_digest(one.encode(), expected) for kind, _, one in found):
        raise SignatureInvalid
    event: dict[str, Any] = json.loads(body)
    return event


def _signature(secret: str, message_id: str, stamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ConfigInvalid("the secret of the webhook is damaged", hint=f"It starts with {PREFIX}.") from error
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
