"""The pages of the API itself: its reference, whose parts all come from this service, and the list of problem codes."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service import problem_codes
from service.problems import Problem

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "web" / "reference"
TYPES = {
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "LICENSE.txt": "text/plain",
}
# Nothing is loaded from elsewhere, whatever a description in the schema holds.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
POLICY += "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}


@router.get("/docs")
def reference() -> HTMLResponse:
    """Show every operation, with forms to try them."""
    return HTMLResponse((FOLDER / "index.html").read_text(encoding="utf-8"), headers=HEADERS)


@router.get("/docs/{name}")
def asset(request: Request, name: str) -> Response:
    """Return a part of that page."""
    if name not in TYPES:
        raise Problem(404, "NOT_FOUND", "there is no such path")
    data, packed = _asset(name)
    headers = {**HEADERS, "Cache-Control": "max-age=86400", "Vary": "Accept-Encoding"}
    if packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    elif packed:
        data = gzip.decompress(data)
    return Response(data, media_type=TYPES[name], headers=headers)


@cache
def _asset(name: str) -> tuple[bytes, bool]:
    packed = FOLDER / f"{name}.gz"
    return (packed.read_bytes(), True) if packed.is_file() else ((FOLDER / name).read_bytes(), False)


@router.get("/problems")
def problems() -> HTMLResponse:
    """Show what each code of a problem means; `type` of a problem leads here."""
    return HTMLResponse(problem_codes.html(), headers=HEADERS)
