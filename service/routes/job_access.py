"""What routes of jobs share: the ledger of the app, and jobs as a sender sees them."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from service.ledger.api_keys import ApiKey
from service.ledger.listing import Listing
from service.ledger.submissions import Submissions
from service.problems import Problem
from service.web.access import tenant_of


def ledger_of(request: Request) -> Submissions:
    """Return the app's ledger."""
    submissions: Submissions = request.app.state.submissions
    return submissions


def listing_of(request: Request) -> Listing:
    """Return the lists of the app's ledger."""
    listing: Listing = request.app.state.listing
    return listing


def visible(job: dict[str, Any] | None, sender: ApiKey) -> dict[str, Any] | None:
    """Return the job unless it belongs to another tenant: that it exists is not to be learned."""
    tenant = tenant_of(sender)
    return job if job is not None and tenant in (None, job["tenant"]) else None


def existing(job: dict[str, Any] | None, sender: ApiKey) -> dict[str, Any]:
    """Return the job; raises the 404 problem when there is none, or none of the sender's tenant."""
    found = visible(job, sender)
    if found is None:
        raise Problem(404, "JOB_UNKNOWN", "there is no such job")
    return found


def etag(job: dict[str, Any]) -> str:
    """Return the version of a job as a header's value."""
    return f'"{job["version"]}"'
