"""Routes of what happened to a job: events, the log made of them, attempts, stages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from recon.errors import ConfigInvalid
from service.job_log import LEVELS, log_line, stages_of
from service.ledger.submissions import Submissions
from service.ledger.tables import TERMINAL
from service.problems import Problem
from service.routes.job_access import existing, ledger_of, listing_of
from service.routes.jobs import LARGEST, POLL_S
from service.schemas import Attempt, AttemptPage, EventPage, LogLine, LogPage, StagePage, StageState
from service.web.access import Reader
from service.web.limits import Slots
from service.web.openapi import refusals
from workers.spec import stored_spec

KEEP_ALIVE_S = 15.0
PAGE = 500

router = APIRouter(prefix="/v1", tags=["jobs"])
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page, or a stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    **refusals(404),
}
After = Annotated[int, Query(ge=0, le=LARGEST)]


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=STREAM)
async def events(
    request: Request,
    job_id: str,
    sender: Reader,
    after: After = 0,
    last_event_id: Annotated[int, Header(ge=0, le=LARGEST)] = 0,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """Return the events after a number: a page of JSON, or with `Accept: text/event-stream` a stream to the end.

    The stream replays from Last-Event-ID. Between the numbered events it carries unnumbered `job` events: the
    newest progress, which is not worth keeping.
    """
    ledger, start = ledger_of(request), max(after, last_event_id)
    existing(await run_in_threadpool(ledger.get, job_id), sender)
    if "text/event-stream" in accept:
        slots: Slots = request.app.state.streams
        if not slots.free:
            what = "too many clients wait or stream at once"
            raise Problem(429, "STREAMS_EXHAUSTED", what, headers={"Retry-After": "5"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_stream(ledger, slots, job_id, start), media_type="text/event-stream", headers=headers)
    page = await run_in_threadpool(ledger.events, job_id, after=start, limit=PAGE)
    return JSONResponse({"events": page})


async def _stream(ledger: Submissions, slots: Slots, job_id: str, after: int) -> AsyncIterator[str]:
    seen_version, quiet = -1, 0.0
    with slots.one():
        while True:
            # The job first: events written after this read are fetched too, so that none is missed at the end.
            job = await run_in_threadpool(ledger.get, job_id)
            if job is None:
                return
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


@router.get("/jobs/{job_id}/logs", responses=refusals(404))
def logs(
    request: Request,
    job_id: str,
    sender: Reader,
    after: After = 0,
    level: Annotated[Literal["debug", "info", "warning", "error"], Query(description="The least level.")] = "info",
    stage: str = "",
) -> LogPage:
    """Return what happened to a job in sentences, a page at a time: ask again with `after` = `next`."""
    ledger = ledger_of(request)
    existing(ledger.get(job_id), sender)
    found = ledger.events(job_id, after=after, limit=PAGE)
    lines = [log_line(event) for event in found]
    wanted = [
        LogLine(**line)
        for line in lines
        if LEVELS.index(line["level"]) >= LEVELS.index(level) and stage in ("", line["stage"])
    ]
    return LogPage(lines=wanted, next=found[-1]["seq"] if len(found) == PAGE else None)


@router.get("/jobs/{job_id}/attempts", responses=refusals(404))
def attempts(request: Request, job_id: str, sender: Reader) -> AttemptPage:
    """Return every start of a job, with how it ended."""
    existing(ledger_of(request).get(job_id), sender)
    return AttemptPage(attempts=[Attempt(**row) for row in listing_of(request).attempts(job_id)])


@router.get("/jobs/{job_id}/stages", responses=refusals(404))
def stages(request: Request, job_id: str, sender: Reader) -> StagePage:
    """Return the stages of a job in the order they run, with the state, start and seconds of each."""
    ledger = ledger_of(request)
    job = existing(ledger.get(job_id), sender)
    try:
        names = [stage.name for stage in stored_spec(json.dumps(job["spec"])).plan()]
    except ConfigInvalid:  # another version took the job: its events name what has run
        names = []
    found: list[dict[str, Any]] = []
    while page := ledger.events(job_id, after=found[-1]["seq"] if found else 0, limit=PAGE):
        found += page
    return StagePage(stages=[StageState(**stage) for stage in stages_of(names, found, job)])
