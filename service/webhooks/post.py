"""One POST to an address that a tenant chose: checked, in bounded time, without redirects, cookies or proxies."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from service.ledger.outbox.deliveries import Outcome
from service.webhooks.addresses import AddressGuard, AddressRefused, NameUnknown

LONGEST_S = 15.0  # a whole attempt, however slowly the other side answers


class Poster:
    """Sends bodies. The answer's body is not read: a tenant learns the status of what it addresses, and no more."""

    def __init__(self, guard: AddressGuard, *, longest_s: float = LONGEST_S) -> None:
        self._guard, self._longest_s = guard, longest_s
        self._tls = httpx.create_ssl_context()  # honours SSL_CERT_FILE

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send a body and return how it ended."""
        backend = _Guarded(self._guard, time.monotonic() + self._longest_s, plain=urlsplit(url).scheme == "http")
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self._tls, network_backend=backend) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as answer,
            ):
                status = answer.status
        except AddressRefused:
            return Outcome(error="the address is not allowed")
        except NameUnknown:
            return Outcome(error="the name has no address")
        except httpcore.TimeoutException:
            return Outcome(error=f"no answer within {self._longest_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
            return Outcome(error=_reason(error))
        if 200 <= status < 300:
            return Outcome(status=status)
        return Outcome(status=status, error="redirects are not followed" if 300 <= status < 400 else f"HTTP {status}")


def _reason(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not valid: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    return f"the connection failed: {type(error).__name__}"


class _Guarded(httpcore.NetworkBackend):
    """Connects to checked addresses only, and bounds all waiting together by one deadline."""

    def __init__(self, guard: AddressGuard, deadline: float, *, plain: bool) -> None:
        self._guard, self._deadline, self._plain = guard, deadline, plain
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that is allowed and answers.

        One that does not answer, as IPv6 may be lost on the way, takes no more than its share of the time that is left.
        """
        failure: Exception = httpcore.ConnectError(host)
        addresses = self._guard.resolve(host, port, plain=self._plain)
        for number, address in enumerate(addresses):
            try:
                # The address is numeric: nothing is resolved again.
                share_s = _left_s(self._deadline, httpcore.ConnectTimeout) / (len(addresses) - number)
                return _Bounded(self._inner.connect_tcp(address, port, share_s), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Bounded(httpcore.NetworkStream):
    """A stream whose reads and writes together end by a deadline: a byte now and then does not prolong them."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s(self._deadline, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left_s(self._deadline, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # The name of the URL, not the address: the certificate must be that of the name.
        left_s = _left_s(self._deadline, httpcore.ConnectTimeout)
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left_s(deadline: float, late: type[httpcore.TimeoutException]) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise late
    return left_s
