"""Who sends a request: the operator with the key of the settings, or a tenant with a key of the ledger."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from typing import Annotated, NoReturn

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from service.ledger.api_keys import FORM, OPERATE, READ, SCOPES, SUBMIT, ApiKey, ApiKeys
from service.problems import Problem
from service.web.limits import TokenBuckets

OPERATOR = ApiKey(id="", tenant="", name="operator", scopes=frozenset(SCOPES))
WRONG_PER_S, WRONG_BURST = 0.2, 10.0  # wrong keys that an address may send
TRUST_S, MOST_TRUSTED = 600.0, 1000


class Access:
    """Finds out who sends a request, and refuses those who may not."""

    def __init__(self, operator_key: str, keys: ApiKeys) -> None:
        self._operator_key, self._keys = operator_key, keys
        self._wrong, self._requests = TokenBuckets(), TokenBuckets()
        self._trusted: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def sender(self, given: str, address: str) -> ApiKey:
        """Return the key of a request; raises the problem 401, or 429 for too many requests or wrong keys."""
        if not given and not self._operator_key:
            return OPERATOR  # only this machine can reach the port
        if not given:
            raise _unauthenticated()  # no guess
        digest = hashlib.sha256(given.encode()).digest()
        # Whoever guesses is slowed down; a client that was let in before may share the guesser's address.
        if not self._is_trusted(digest):
            wait_s = self._wrong.wait_s(address, WRONG_PER_S, WRONG_BURST, take=0.0)
            if wait_s:
                _limited("too many wrong keys from this address", wait_s)
        expected = self._operator_key
        if expected and hmac.compare_digest(given.encode(), expected.encode()):
            key: ApiKey | None = OPERATOR
        else:
            key = self._keys.find(given)
        if key is None:
            self._wrong.wait_s(address, WRONG_PER_S, WRONG_BURST)
            raise _unauthenticated()
        self._trust(digest)
        if key.requests_per_s:
            wait_s = self._requests.wait_s(key.id, key.requests_per_s, max(1.0, 2.0 * key.requests_per_s))
            if wait_s:
                _limited(f"more than {key.requests_per_s:g} requests a second", wait_s)
        return key

    def _is_trusted(self, digest: bytes) -> bool:
        with self._lock:
            return time.monotonic() - self._trusted.get(digest, -math.inf) < TRUST_S

    def _trust(self, digest: bytes) -> None:
        with self._lock:
            self._trusted.pop(digest, None)
            self._trusted[digest] = time.monotonic()
            if len(self._trusted) > MOST_TRUSTED:
                self._trusted.popitem(last=False)


def _unauthenticated() -> Problem:
    what = "the API key is missing, wrong, expired or revoked"
    return Problem(401, "UNAUTHENTICATED", what, hint="Send Authorization: Bearer KEY.")


def _limited(what: str, wait_s: float) -> NoReturn:
    raise Problem(429, "RATE_LIMITED", what, headers={"Retry-After": str(math.ceil(wait_s))})


_bearer = HTTPBearer(auto_error=False)


async def sender_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> ApiKey:
    """Return who sends a request, as a dependency of its route."""
    access: Access = request.app.state.access
    address = request.client.host if request.client else ""
    given = credentials.credentials if credentials else ""
    # A thread only where the ledger is read: every hop costs a request as much as its routing.
    if FORM.fullmatch(given):
        return await run_in_threadpool(access.sender, given, address)
    return access.sender(given, address)


Sender = Annotated[ApiKey, Depends(sender_of)]


def _needs(sender: ApiKey, scope: str) -> ApiKey:
    if scope not in sender.scopes:
        raise Problem(403, "SCOPE_MISSING", f"the key does not have the scope {scope}")
    return sender


async def reader_of(sender: Sender) -> ApiKey:
    """Return the sender, who may read."""
    return _needs(sender, READ)


async def submitter_of(sender: Sender) -> ApiKey:
    """Return the sender, who may submit, cancel and retry."""
    return _needs(sender, SUBMIT)


async def operator_of(sender: Sender) -> ApiKey:
    """Return the sender, who may see the service as a whole."""
    return _needs(sender, OPERATE)


Reader = Annotated[ApiKey, Depends(reader_of)]
Submitter = Annotated[ApiKey, Depends(submitter_of)]
Operator = Annotated[ApiKey, Depends(operator_of)]


def tenant_of(sender: ApiKey) -> str | None:
    """Return the tenant whose jobs a sender sees, or None for the operator, who sees all."""
    return None if sender is OPERATOR else sender.tenant
