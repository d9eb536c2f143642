"""Every request as a whole: a defect becomes a problem and one line of the log, a client that left becomes neither."""

from __future__ import annotations

import time

import structlog
from prometheus_client import CollectorRegistry, Histogram
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import METHODS, TITLES, code_of, problem_response

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 60.0)


def request_seconds(registry: CollectorRegistry) -> Histogram:
    """Return the histogram of how long requests took; the status of one whose client left is 0."""
    names = ["method", "path", "status"]
    what = "Time from a request's arrival to the end of its answer."
    return Histogram("roadscribe_request_seconds", what, names, registry=registry, buckets=BOUNDS_S)


class Requests:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp, *, seconds: Histogram, access_log: bool = False) -> None:
        self._app, self._seconds, self._access_log = app, seconds, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        replaced = False

        async def noting(message: Message) -> None:
            nonlocal status, replaced
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = Headers(raw=message["headers"])
                if status >= 400 and headers.get("content-type", "").startswith("text/plain"):
                    replaced = True  # a library's refusal
                    kept = {name: value for name, value in headers.items() if not name.startswith("content-")}
                    kept |= {name: value for name, value in headers.items() if name == "content-range"}
                    await problem_response(status, code_of(status), TITLES.get(status, "Error"), headers=kept)(
                        scope, receive, send
                    )
            if not replaced:
                await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            pass  # in the middle of its body: nobody is there to be answered
        except Exception as error:
            _log_bug(scope, error)
            if not status:
                hint = "See the service's log and report it."
                await problem_response(500, "BUG", "an error inside Roadscribe", hint=hint)(scope, receive, noting)
        took_s = time.perf_counter() - started
        # The template of the path, not the path: a label must not grow with what clients send.
        path = getattr(scope.get("route"), "path", "") or "other"
        self._seconds.labels(scope["method"] if scope["method"] in METHODS else "other", path, status).observe(took_s)
        if self._access_log:
            self._log(scope, status, took_s)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        client = scope.get("client") or ("", 0)
        structlog.get_logger().info(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=status or None,  # none = the client left
            ms=round(seconds * 1e3, 1),
            client=client[0],
        )


def _log_bug(scope: Scope, error: Exception) -> None:
    structlog.get_logger().error("request.bug", method=scope["method"], path=scope["path"], exc_info=error)
