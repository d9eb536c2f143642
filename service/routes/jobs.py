"""Routes of jobs: submit, list, get, cancel, events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from recon.errors import ConfigInvalid, InputLost, PathRefused
from service.inputs import with_inputs
from service.ledger.submissions import KeyReused, Submissions
from service.ledger.tables import STATES, TERMINAL
from service.problems import Problem, field_faults
from service.roots import resolve_below
from service.schemas import EventPage, Job, JobPage
from service.settings import Settings
from service.web.openapi import job_body, refusals
from workers.jobs.job_spec import JobSpec, kind_name
from workers.jobs.kinds import public_kinds
from workers.spec import parse_spec

POLL_S = 0.3
KEEP_ALIVE_S = 15.0
LONGEST_WAIT_S = 60.0
LARGEST = 2**63 - 1  # what a column of the ledger can be compared with

router = APIRouter(tags=["jobs"])


def ledger_of(request: Request) -> Submissions:
    """Return the app's ledger."""
    submissions: Submissions = request.app.state.submissions
    return submissions


def existing(job: dict[str, Any] | None) -> dict[str, Any]:
    """Return the job; raises the 404 problem when there is none."""
    if job is None:
        raise Problem(404, "JOB_UNKNOWN", "there is no such job")
    return job


KNOWN = {304: {"description": "It is as If-None-Match states."}, **refusals(404)}
STREAM = {200: {"description": "A page, or a stream.", "content": {"text/event-stream": {}}}, **refusals(404, 429)}
SUBMITTED = {200: {"description": "The job had already ended.", "model": Job}, **refusals(403, 413, 415)}


@router.post("/jobs", status_code=202, response_model=Job, openapi_extra=job_body(), responses=SUBMITTED)
async def submit(
    request: Request,
    response: Response,
    idempotency_key: Annotated[str, Header(max_length=255)] = "",
    dedupe: bool = False,
) -> Any:
    """Take a job. The same Idempotency-Key and body return the same job; `dedupe` returns an equal earlier one."""
    # A form or plain text could be sent by any web page the user visits, without the browser asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "CONTENT_TYPE", "the body must be application/json")
    settings: Settings = request.app.state.settings
    ledger, body = ledger_of(request), await _body(request, settings.max_body_bytes)
    spec = await run_in_threadpool(_checked, body, settings, ledger)
    try:
        submitted = await run_in_threadpool(ledger.submit, spec, key=idempotency_key, dedupe=dedupe)
    except KeyReused:
        hint = "Use a new key for a new job."
        raise Problem(422, "IDEMPOTENCY_KEY_REUSED", "the key was used with another body", hint=hint) from None
    except InputLost as error:
        fault = {"pointer": error.where, "detail": error.message}
        raise Problem(422, error.code, error.message, hint=error.hint, errors=[fault]) from None
    response.headers["Location"] = f"/v1/jobs/{submitted.job['id']}"
    response.headers["ETag"] = _etag(submitted.job)
    deduplicated = submitted.existed and not idempotency_key
    if submitted.existed and submitted.job["state"] in TERMINAL:
        response.status_code = 200
    return submitted.job | {"deduplicated": deduplicated}


async def _body(request: Request, limit: int) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise Problem(413, "BODY_TOO_LARGE", f"the body is larger than {limit} bytes")
    return bytes(data)


def _checked(body: bytes, settings: Settings, ledger: Submissions) -> JobSpec:
    """Return the spec of a body, its inputs and paths resolved; raises a problem that points at every fault."""
    try:
        spec = parse_spec(body)
    except ValidationError as error:
        faults = field_faults(error.errors(include_url=False, include_input=False, include_context=False))
        raise Problem(422, "JOB_INVALID", "the job has invalid fields", errors=faults) from None
    except ConfigInvalid as error:
        # The message starts with the field, "fit.cell_m must lie in ...".
        field = error.message.split(" ")[0].rstrip(":")
        faults = [{"pointer": "/" + field.replace(".", "/"), "detail": error.message}]
        raise Problem(422, error.code, error.message, errors=faults) from None
    if not spec.public and not settings.probe_jobs:
        *names, last = (f"'{kind_name(kind)}'" for kind in public_kinds())
        faults = [{"pointer": "/kind", "detail": f"Input should be {', '.join(names)} or {last}"}]
        raise Problem(422, "JOB_INVALID", "the job has invalid fields", errors=faults)
    return _resolved(with_inputs(spec, ledger.get), settings)


def _resolved(spec: JobSpec, settings: Settings) -> JobSpec:
    paths: dict[str, str] = {}
    for place, path in spec.input_paths().items():
        try:
            paths[place] = str(resolve_below(settings.root_paths, path))
        except PathRefused as error:
            fault = {"pointer": place, "detail": error.message}
            raise Problem(403, error.code, error.message, hint=error.hint, errors=[fault]) from None
    return spec.with_paths(paths)


@router.get("/jobs")
def list_jobs(
    request: Request,
    response: Response,
    state: str = "",
    kind: str = "",
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobPage:
    """List jobs, newest first; a page holds every job once, however many come meanwhile."""
    if state and state not in STATES:
        fault = {"pointer": "/state", "detail": f"one of {', '.join(STATES)}"}
        raise Problem(422, "REQUEST_INVALID", "unknown state", errors=[fault])
    jobs, following = ledger_of(request).page(state=state, kind=kind, before=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return JobPage(jobs=[Job(**job) for job in jobs], next=following)


@router.get("/jobs/{job_id}", response_model=Job, responses=KNOWN)
async def get_job(
    request: Request,
    response: Response,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0,
    if_none_match: Annotated[str, Header()] = "",
) -> Any:
    """Return a job. `wait` holds the answer until the job changed (If-None-Match) or ended, at most so many seconds."""
    ledger = ledger_of(request)
    end = asyncio.get_running_loop().time() + wait
    while True:
        job = existing(await run_in_threadpool(ledger.get, job_id))
        settled = job["state"] in TERMINAL or (if_none_match and _etag(job) != if_none_match)
        if settled or asyncio.get_running_loop().time() >= end:
            break
        await asyncio.sleep(POLL_S)
    if _etag(job) == if_none_match:
        return Response(status_code=304, headers={"ETag": _etag(job)})
    response.headers["ETag"] = _etag(job)
    return job


@router.post("/jobs/{job_id}/cancel", status_code=202, responses=refusals(404))
def cancel(request: Request, job_id: str) -> Job:
    """Cancel a job. A job that has ended is returned as it is."""
    return Job(**existing(ledger_of(request).cancel(job_id)))


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=STREAM)
async def events(
    request: Request,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    last_event_id: Annotated[int, Header(ge=0, le=LARGEST)] = 0,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Return the events after a number: a page of JSON, or with `Accept: text/event-stream` a stream to the end.

    The stream replays from Last-Event-ID. Between the numbered events it carries unnumbered `job` events: the
    newest progress, which is not worth keeping.
    """
    ledger, start = ledger_of(request), max(after, last_event_id)
    existing(await run_in_threadpool(ledger.get, job_id))
    if "text/event-stream" in accept:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(ledger, job_id, start), media_type="text/event-stream", headers=headers)
    page = await run_in_threadpool(ledger.events, job_id, after=start)
    return JSONResponse({"events": page})


async def _stream(ledger: Submissions, job_id: str, after: int) -> AsyncIterator[str]:
    seen_version, quiet = -1, 0.0
    while True:
        # The job first: events written after this read are fetched too, so that none is missed at the end.
        job = existing(await run_in_threadpool(ledger.get, job_id))
        page = await run_in_threadpool(ledger.events, job_id, after=after)
        for entry in page:
            after = entry["seq"]
            yield f"id: {after}\nevent: {entry['type']}\ndata: {json.dumps(entry)}\n\n"
        if job["version"] != seen_version:
            seen_version, quiet = job["version"], 0.0
            state = {name: job[name] for name in ("state", "stage", "progress", "attempt", "version")}
            yield f"event: job\ndata: {json.dumps(state)}\n\n"
        if job["state"] in TERMINAL and not page:
            return
        if not page:
            await asyncio.sleep(POLL_S)
            quiet += POLL_S
            if quiet >= KEEP_ALIVE_S:
                quiet = 0.0
                yield ": alive\n\n"


def _etag(job: dict[str, Any]) -> str:
    return f'"{job["version"]}"'
