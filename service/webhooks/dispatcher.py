"""The loop of an API process that empties the outbox; every API of a ledger may run one.

Each webhook has at most one message on its way from one process, and each tenant few webhooks at once. Whoever has more
to send than fits into a turn waits for the others' turns. So a slow receiver holds up nobody else.
"""

from __future__ import annotations

import threading
import time

import structlog

from recon.errors import StorageError
from service.ledger.outbox.deliveries import MOST_PURGED, Attempt, Deliveries, Outcome
from service.webhooks.post import Poster
from service.webhooks.signature import SigningKey, signed_headers

POLL_S = 1.0
PURGE_EVERY_S = 600.0
MOST_AT_ONCE, MOST_OF_A_TENANT = 8, 2
TURN_S = 5.0
MOST_SERVED = 10_000


class Dispatcher(threading.Thread):
    """Sends what is due until `stop`. What is on its way then is sent again by the next process."""

    def __init__(self, deliveries: Deliveries, key: SigningKey, poster: Poster, *, agent: str) -> None:
        super().__init__(daemon=True, name="webhooks")
        self._deliveries, self._key, self._poster, self._agent = deliveries, key, poster, agent
        self._busy = dict[str, str]()  # webhook -> tenant
        self._served = dict[str, float]()  # webhook -> begin of its last turn, the oldest first
        self._end = threading.Event()
        self._log = structlog.get_logger()

    def run(self) -> None:
        """Look for messages that are due, and send them in threads of their own."""
        purge_at = time.monotonic()
        while not self._end.wait(POLL_S):
            try:
                self._start()
                if time.monotonic() >= purge_at:
                    purge_at = time.monotonic() + PURGE_EVERY_S
                    if self._deliveries.purge() >= MOST_PURGED:  # the rest in the next rounds, after what is due
                        purge_at = 0.0
            except StorageError:
                continue  # the next round may find the ledger again
            except Exception:
                self._log.exception("webhooks.bug")  # and on: nothing else empties the outbox

    def stop(self) -> None:
        """End the loop."""
        self._end.set()

    def _start(self) -> None:
        """Begin turns, first of the webhooks that had none for longest."""
        for webhook_id, tenant in sorted(self._deliveries.due(), key=lambda one: self._served.get(one[0], 0.0)):
            tenants = list(self._busy.values())
            if len(tenants) >= MOST_AT_ONCE:
                return
            if webhook_id in self._busy or tenants.count(tenant) >= MOST_OF_A_TENANT:
                continue
            self._busy[webhook_id] = tenant
            try:
                threading.Thread(target=self._drain, args=(webhook_id,), daemon=True, name="webhook").start()
            except RuntimeError:  # the machine has no thread left, for now
                del self._busy[webhook_id]
                raise
            self._served.pop(webhook_id, None)
            self._served[webhook_id] = time.monotonic()
            if len(self._served) > MOST_SERVED:
                del self._served[next(iter(self._served))]

    def _drain(self, webhook_id: str) -> None:
        """Send a webhook's messages one after another, up to the first that fails or the end of its turn."""
        until = time.monotonic() + TURN_S
        try:
            while not self._end.is_set():
                attempt = self._deliveries.claim(webhook_id)
                if attempt is None or self.send(attempt).error or time.monotonic() >= until:
                    return
        except StorageError:
            pass  # a message that was sent is sent again when its lease has run out
        except Exception:
            self._log.exception("webhooks.bug")
        finally:
            del self._busy[webhook_id]

    def send(self, attempt: Attempt) -> Outcome:
        """Send one message, write down how that ended, and return it."""
        headers = {"content-type": "application/json", "user-agent": self._agent}
        secret = self._key.secret(attempt.webhook_id)
        headers |= signed_headers(secret, attempt.id, attempt.body, time.time())
        outcome = self._poster.post(attempt.url, headers, attempt.body)
        if outcome.error:
            fields = {"webhook": attempt.webhook_id, "attempt": attempt.number, "error": outcome.error}
            self._log.warning("webhook.failed", message=attempt.id, **fields)
        self._deliveries.record(attempt, outcome)
        return outcome
