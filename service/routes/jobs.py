"""Routes of jobs: list, get, change, cancel, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.ledger.listing import Filters
from service.ledger.tables import STATES, TERMINAL, WAITING
from service.problems import Problem
from service.routes.job_access import etag, existing, ledger_of, listing_of
from service.routes.status import STALE_S
from service.schemas import Job, JobChange, JobPage, JobSummary
from service.storage.removal import JobInUse, JobOpen, Removals
from service.web.access import Reader, Submitter, tenant_of
from service.web.bodies import parsed
from service.web.limits import Slots
from service.web.openapi import body_of, refusals

POLL_S = 0.3
LONGEST_WAIT_S = 60.0
LARGEST = 2**63 - 1  # what a column of the ledger can be compared with
LATEST_S = 1e11
MOST_IDS = 100

router = APIRouter(prefix="/v1", tags=["jobs"])
KNOWN: dict[int | str, dict[str, Any]] = {304: {"description": "It is as If-None-Match states."}, **refusals(404)}
Ids = Annotated[list[str], Query(max_length=MOST_IDS, description="Only these jobs. Repeatable.")]
Time = Annotated[float | None, Query(ge=0, le=LATEST_S, description="Seconds since 1970.")]


@router.get("/jobs")
def list_jobs(
    request: Request,
    response: Response,
    sender: Reader,
    state: str = "",
    kind: str = "",
    id: Ids = [],  # noqa: B006 - FastAPI copies it
    created_after: Time = None,
    created_before: Time = None,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JobPage:
    """List jobs, newest first, without their specs; a page holds every job once, however many come meanwhile."""
    if state and state not in STATES:
        fault = {"pointer": "/state", "detail": f"one of {', '.join(STATES)}"}
        raise Problem(422, "REQUEST_INVALID", "unknown state", errors=[fault])
    times = {"created_after": created_after, "created_before": created_before}
    filters = Filters(tenant=tenant_of(sender), state=state, kind=kind, ids=tuple(id), **times)
    jobs, following = listing_of(request).page(filters, before=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return JobPage(jobs=[JobSummary(**job) for job in jobs], next=following)


@router.get("/jobs/{job_id}", response_model=Job, responses=KNOWN)
async def get_job(
    request: Request,
    response: Response,
    job_id: str,
    sender: Reader,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0.0,
    if_none_match: Annotated[str, Header()] = "",
) -> Any:
    """Return a job. `wait` holds the answer until the job changed (If-None-Match) or ended, at most so many seconds.

    `waiting_for` gives the reason why the job does not run at the moment of the answer.
    """
    ledger, loop = ledger_of(request), asyncio.get_running_loop()
    job = existing(await run_in_threadpool(ledger.get, job_id), sender)
    if wait:
        with _slot(request):
            end = loop.time() + wait
            while job["state"] not in TERMINAL and (not if_none_match or etag(job) == if_none_match):
                if loop.time() >= end or await request.is_disconnected():
                    break
                await asyncio.sleep(min(POLL_S, max(0.0, end - loop.time())))
                job = existing(await run_in_threadpool(ledger.get, job_id), sender)
    response.headers["ETag"] = etag(job)
    if etag(job) == if_none_match:
        return Response(status_code=304, headers={"ETag": etag(job)})
    if job["state"] in WAITING:
        job["waiting_for"] = await run_in_threadpool(listing_of(request).waiting_for, job_id, STALE_S)
    return job


def _slot(request: Request) -> Any:
    slots: Slots = request.app.state.streams
    if not slots.free:
        what = "too many clients wait or stream at once"
        raise Problem(429, "STREAMS_EXHAUSTED", what, headers={"Retry-After": "5"})
    return slots.one()


@router.post("/jobs/{job_id}/cancel", status_code=202, responses=refusals(404))
def cancel(request: Request, job_id: str, sender: Submitter) -> Job:
    """Cancel a job. A job that has ended is returned as it is."""
    ledger = ledger_of(request)
    existing(ledger.get(job_id), sender)
    return Job(**existing(ledger.cancel(job_id), sender))


@router.patch("/jobs/{job_id}", openapi_extra=body_of("JobChange"), responses=refusals(404, 409, 413, 415))
async def change_job(request: Request, response: Response, job_id: str, sender: Submitter) -> Job:
    """Change the priority of a job that no executor has taken: one that is queued, pauses or waits for others."""
    change, ledger = await parsed(request, JobChange), ledger_of(request)
    existing(await run_in_threadpool(ledger.get, job_id), sender)
    job = existing(await run_in_threadpool(ledger.prioritize, job_id, change.priority), sender)
    if job["state"] not in WAITING:
        raise Problem(409, "JOB_NOT_WAITING", f"the job is {job['state']}")
    response.headers["ETag"] = etag(job)
    return Job(**job)


@router.delete("/jobs/{job_id}", status_code=204, responses=refusals(404, 409))
def delete_job(request: Request, job_id: str, sender: Submitter) -> None:
    """Delete a job that has ended, with its events and attempts; a line of the audit stays.

    Its files can no longer be fetched, and are collected unless another job published the same.
    """
    existing(ledger_of(request).get(job_id), sender)
    removals: Removals = request.app.state.removals
    try:
        found = removals.delete(job_id, actor=sender.id or sender.name)
    except JobOpen as error:
        hint = "Cancel it first, or wait for its end."
        raise Problem(409, "JOB_OPEN", f"the job is {error}", hint=hint) from None
    except JobInUse:
        what = "the job is a snapshot of a dataset, or a job that has not ended needs it"
        raise Problem(409, "JOB_IN_USE", what) from None
    if not found:
        existing(None, sender)
