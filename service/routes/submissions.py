"""Routes that make jobs: submit, validate, retry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from recon.errors import ConfigInvalid, InputLost, PathRefused
from service.inputs import with_inputs
from service.ledger.api_keys import ApiKey
from service.ledger.batches import Batches, Plain
from service.ledger.submissions import KeyReused, QuotaExceeded, Submissions, Submitted
from service.ledger.tables import TERMINAL
from service.problems import Problem, field_faults
from service.roots import resolve_below
from service.routes.job_access import etag, existing, ledger_of, visible
from service.schemas import Job, Validation
from service.settings import Settings
from service.web.access import Submitter
from service.web.bodies import json_body
from service.web.openapi import body_of, links, refusals
from workers.jobs.job_spec import JobSpec, kind_name
from workers.jobs.kinds import public_kinds
from workers.spec import parse_spec, spec_record, stored_spec

router = APIRouter(prefix="/v1", tags=["jobs"])
ON_A_JOB = ("get_job", "cancel", "retry", "events", "logs", "attempts", "stages", "artifacts")
TAKEN: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job had already ended.", "model": Job, "links": links(*ON_A_JOB)},
    202: {"description": "The job is stored.", "links": links(*ON_A_JOB)},
}
Key = Annotated[str, Header(max_length=255, description="The same key and body return the same job.")]


@router.post(
    "/jobs",
    status_code=202,
    response_model=Job,
    openapi_extra=body_of("NewJob"),
    responses={**TAKEN, **refusals(413, 415)},
)
async def submit(
    request: Request,
    response: Response,
    sender: Submitter,
    idempotency_key: Key = "",
    dedupe: bool = False,
    priority: Annotated[int, Query(ge=-100, le=100)] = 0,
) -> Any:
    """Take a job. The same Idempotency-Key and body return the same job; `dedupe` returns an equal earlier one.

    Among the jobs of a tenant a greater `priority` goes first.
    """
    spec = await run_in_threadpool(_checked, await json_body(request), request, sender)
    options: dict[str, Any] = {"key": idempotency_key, "priority": priority}
    if dedupe or sender.most_open_jobs or spec.input_jobs():
        submitted = await run_in_threadpool(_submitted, request, spec, sender, dedupe=dedupe, **options)
    else:
        batches: Batches = request.app.state.batches
        with _refusals(sender):
            submitted = await batches.submit(Plain(spec=spec, tenant=sender.tenant, **options))
    return _answer(response, submitted, deduplicated=submitted.existed and not idempotency_key)


@router.post("/jobs:validate", openapi_extra=body_of("NewJob"), responses=refusals(413, 415))
async def validate(request: Request, sender: Submitter) -> Validation:
    """Check a job without taking it: what would be refused, or the job with every setting and its stages."""
    body = await json_body(request)
    try:
        spec = await run_in_threadpool(_checked, body, request, sender)
    except Problem as problem:
        if problem.status_code not in (403, 422):
            raise
        return Validation(ok=False, findings=problem.errors, code=problem.code)
    return Validation(
        ok=True,
        findings=[],
        spec=spec_record(spec),
        stages=[stage.name for stage in spec.plan()],
        waits_for=list(dict.fromkeys(spec.input_jobs().values())),
    )


@router.post("/jobs/{job_id}/retry", status_code=202, response_model=Job, responses={**TAKEN, **refusals(404, 409)})
def retry(request: Request, response: Response, job_id: str, sender: Submitter) -> Any:
    """Submit a job that failed or was cancelled again, as a new job: finished stages are kept and skipped.

    Repeated, it returns the same new job until that one has failed too. An equal job that is older than the retried
    one is never returned: the drive may have changed since.
    """
    old = existing(ledger_of(request).get(job_id), sender)
    if old["state"] not in ("failed", "cancelled"):
        raise Problem(409, "JOB_NOT_ENDED", f"the job is {old['state']}", hint="Only a failed job is retried.")
    spec = _resolved(stored_spec(json.dumps(old["spec"])), request.app.state.settings)
    options = {"priority": old["priority"], "tenant": old["tenant"]}
    submitted = _submitted(request, spec, sender, dedupe=True, retry_of=job_id, **options)
    if not submitted.existed:
        ledger_of(request).note(submitted.job["id"], "job.retry", {"of": job_id})
    return _answer(response, submitted, deduplicated=submitted.existed)


def _answer(response: Response, submitted: Submitted, *, deduplicated: bool) -> dict[str, Any]:
    response.headers["Location"] = f"/v1/jobs/{submitted.job['id']}"
    response.headers["ETag"] = etag(submitted.job)
    if submitted.existed and submitted.job["state"] in TERMINAL:
        response.status_code = 200
    return submitted.job | {"deduplicated": deduplicated}


def _submitted(request: Request, spec: JobSpec, sender: ApiKey, *, tenant: str = "", **options: Any) -> Submitted:
    """Store a job for the sender's tenant; the operator may act for another one."""
    owner, most_open = sender.tenant or tenant, sender.most_open_jobs
    with _refusals(sender):
        return ledger_of(request).submit(spec, tenant=owner, most_open=most_open, **options)


@contextmanager
def _refusals(sender: ApiKey) -> Iterator[None]:
    """Turn what the ledger refuses into problems."""
    try:
        yield
    except KeyReused:
        hint = "Use a new key for a new job."
        raise Problem(422, "IDEMPOTENCY_KEY_REUSED", "the key was used with another body", hint=hint) from None
    except QuotaExceeded:
        what = f"the tenant has {sender.most_open_jobs} jobs that have not ended"
        raise Problem(429, "QUOTA_EXCEEDED", what, headers={"Retry-After": "30"}) from None
    except InputLost as error:
        raise _lost(error) from None


def _lost(error: InputLost) -> Problem:
    fault = {"pointer": error.where, "detail": error.message}
    return Problem(422, error.code, error.message, hint=error.hint, errors=[fault])


def _checked(body: bytes, request: Request, sender: ApiKey) -> JobSpec:
    """Return the spec of a body, its inputs and paths resolved; raises a problem that points at every fault."""
    settings: Settings = request.app.state.settings
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
    ledger: Submissions = ledger_of(request)
    try:
        return _resolved(with_inputs(spec, lambda job_id: visible(ledger.get(job_id), sender)), settings)
    except InputLost as error:
        raise _lost(error) from None


def _resolved(spec: JobSpec, settings: Settings) -> JobSpec:
    paths: dict[str, str] = {}
    for place, path in spec.input_paths().items():
        try:
            paths[place] = str(resolve_below(settings.root_paths, path))
        except PathRefused as error:
            fault = {"pointer": place, "detail": error.message}
            raise Problem(403, error.code, error.message, hint=error.hint, errors=[fault]) from None
    return spec.with_paths(paths)
