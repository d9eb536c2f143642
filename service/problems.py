"""Errors as RFC 9457 problems with the codes of the error family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from recon.errors import InfrastructureError, InputInvalid, PathRefused, RoadscribeError
from service.problem_codes import anchor
from workers.spec import pointer

PROBLEM_JSON = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Refused",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    416: "Range not satisfiable",
    422: "Invalid",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}


class Problem(HTTPException):
    """A refusal as a response: status, code and what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        hint: str = "",
        errors: Sequence[Any] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code=status, detail=detail, headers=headers)
        self.code, self.hint, self.errors = code, hint, list(errors)


def problem_body(
    status: int, code: str, detail: str, *, hint: str = "", errors: Sequence[Any] = (), retryable: bool = False
) -> dict[str, Any]:
    """Return a problem document."""
    body: dict[str, Any] = {
        "type": f"/problems#{anchor(code)}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    }
    body |= {"hint": hint} if hint else {}
    return body | ({"errors": list(errors)} if errors else {})


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> JSONResponse:
    """Return a response with a problem document; the members are those of `problem_body`."""
    body = problem_body(status, code, detail, **members)
    own = {"Retry-After": "2"} if status == 503 else {}
    own |= {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(body, status_code=status, media_type=PROBLEM_JSON, headers=own | dict(headers or {}))


def code_of(status: int) -> str:
    """Return the code of a refusal that has no other than its status."""
    return TITLES.get(status, "Error").upper().replace(" ", "_")


def field_faults(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Return pydantic's errors as JSON pointers with a sentence each; the values sent are not echoed."""
    return [{"pointer": pointer(tuple(e["loc"])) or "/", "detail": str(e["msg"])} for e in errors]


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """Return the methods of a path. The router names those of the first route that matches only."""
    scopes = [(method, {**request.scope, "method": method}) for method in METHODS]
    return [m for m, scope in scopes if any(r.matches(scope)[0] == Match.FULL for r in app.router.routes)]


def install(app: FastAPI) -> None:
    """Turn every error of the app into a problem."""

    @app.exception_handler(RoadscribeError)
    async def _family(_: Request, error: RoadscribeError) -> JSONResponse:
        status = 500
        if isinstance(error, PathRefused):
            status = 403
        elif isinstance(error, InputInvalid):
            status = 422
        elif isinstance(error, InfrastructureError):
            status = 503
        return problem_response(status, error.code, error.message, hint=error.hint, retryable=error.retryable)

    @app.exception_handler(StarletteHTTPException)
    async def _http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        status, headers = error.status_code, dict(error.headers or {})
        if status == 405:
            headers["Allow"] = ", ".join(_allowed(app, request))
        members = {"hint": getattr(error, "hint", ""), "errors": getattr(error, "errors", [])}
        code = getattr(error, "code", "") or code_of(status)
        return problem_response(status, code, str(error.detail), headers=headers, **members)

    @app.exception_handler(RequestValidationError)
    async def _request(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = field_faults(error.errors())
        return problem_response(422, "REQUEST_INVALID", "the request has invalid fields", errors=faults)
