"""The check of the Host header of a service without a key."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import problem_response

LOCAL = ("127.0.0.1", "localhost", "[::1]")


class KnownHosts:
    """ASGI middleware that refuses requests under other names.

    Without a key only the port protects the service, and a web page can reach it under a name of its own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = LOCAL) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on whose Host, without its port, is known."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "").lower()
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if name not in self._hosts:
                hint = "Address the service as 127.0.0.1 or localhost, or set ROADSCRIBE_API_KEY."
                refusal = problem_response(400, "HOST_UNKNOWN", "the service is not known by this name", hint=hint)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
