"""The route of the audit: who deleted what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service.routes.jobs import LARGEST
from service.schemas import AuditLine, AuditPage
from service.storage.audit import Audit
from service.web.access import Operator, tenant_of

router = APIRouter(prefix="/v1", tags=["status"])


@router.get("/audit")
def list_audit(
    request: Request,
    response: Response,
    sender: Operator,
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> AuditPage:
    """List what was deleted, by whom and when, newest first: of the sender's tenant, or for the operator of all."""
    audit: Audit = request.app.state.audit
    lines, following = audit.page(tenant_of(sender), before=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return AuditPage(lines=[AuditLine(**line) for line in lines], next=following)
