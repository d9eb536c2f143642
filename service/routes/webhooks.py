"""Routes of webhooks: register, list, delete, and what was sent. All are those of the sender's tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.ledger.api_keys import ApiKey
from service.ledger.outbox import deliveries as sent
from service.ledger.outbox import webhooks as registry
from service.problems import Problem
from service.routes.jobs import LARGEST
from service.schemas import Delivery, DeliveryPage, NewWebhook, Webhook, WebhookPage, WebhookWithSecret
from service.web.access import Reader, Submitter, tenant_of
from service.web.bodies import parsed
from service.web.openapi import body_of, refusals
from service.webhooks.addresses import AddressGuard, AddressRefused

router = APIRouter(prefix="/v1", tags=["webhooks"])


def _webhooks(request: Request) -> registry.Webhooks:
    webhooks: registry.Webhooks = request.app.state.webhooks
    return webhooks


def _deliveries(request: Request) -> sent.Deliveries:
    deliveries: sent.Deliveries = request.app.state.deliveries
    return deliveries


@router.post("/webhooks", status_code=201, openapi_extra=body_of("NewWebhook"), responses=refusals(409, 413, 415))
async def register_webhook(request: Request, response: Response, sender: Submitter) -> WebhookWithSecret:
    """Register an address that events of the tenant's jobs are sent to. Only this answer holds its secret."""
    body = await parsed(request, NewWebhook)
    with _refusals():
        await run_in_threadpool(_webhooks(request).check, sender.tenant, body.url)  # before a name is resolved
        guard: AddressGuard = request.app.state.guard
        await to_thread.run_sync(guard.check, body.url, limiter=request.app.state.resolvers)
        made = await run_in_threadpool(_webhooks(request).create, sender.tenant, body.url, body.events)
    response.headers["Location"] = f"/v1/webhooks/{made.id}"
    secret = request.app.state.signing_key.secret(made.id)
    return WebhookWithSecret(**asdict(made), secret=secret)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except AddressRefused as error:
        fault = {"pointer": "/url", "detail": error.message}
        raise Problem(422, error.code, error.message, hint=error.hint, errors=[fault]) from None
    except registry.WebhookExists:
        hint = "If its secret is lost, delete it and register it again."
        raise Problem(409, "WEBHOOK_EXISTS", "the tenant has a webhook with this URL", hint=hint) from None
    except registry.TooManyWebhooks:
        what = f"the tenant has {registry.MOST_OF_A_TENANT} webhooks"
        raise Problem(409, "WEBHOOK_LIMIT", what, hint="Delete one that is no longer used.") from None


@router.get("/webhooks")
def list_webhooks(request: Request, sender: Reader) -> WebhookPage:
    """List the webhooks, oldest first, without their secrets."""
    return WebhookPage(webhooks=[Webhook(**asdict(one)) for one in _webhooks(request).all(tenant_of(sender))])


@router.get("/webhooks/{webhook_id}", responses=refusals(404))
def get_webhook(request: Request, webhook_id: str, sender: Reader) -> Webhook:
    """Return a webhook: its address, and why it is disabled if it is."""
    return Webhook(**asdict(_existing(request, webhook_id, sender)))


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=refusals(404))
def delete_webhook(request: Request, webhook_id: str, sender: Submitter) -> None:
    """Forget a webhook, with what waits to be sent to it."""
    _webhooks(request).delete(_existing(request, webhook_id, sender).id)


@router.post("/webhooks/{webhook_id}/enable", responses=refusals(404))
def enable_webhook(request: Request, webhook_id: str, sender: Submitter) -> Webhook:
    """Send to a webhook again that was disabled after failures; what waited meanwhile goes first."""
    _webhooks(request).enable(_existing(request, webhook_id, sender).id)
    return Webhook(**asdict(_existing(request, webhook_id, sender)))


@router.post("/webhooks/{webhook_id}/ping", status_code=202, responses=refusals(404, 409))
def ping_webhook(request: Request, webhook_id: str, sender: Submitter) -> Delivery:
    """Send a message that only tests the way."""
    return _delivery(_deliveries(request).ping(_enabled(request, webhook_id, sender).id))


@router.get("/webhooks/{webhook_id}/deliveries", responses=refusals(404))
def list_deliveries(
    request: Request,
    response: Response,
    webhook_id: str,
    sender: Reader,
    state: Literal["", "pending", "delivered", "failed"] = "",
    cursor: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> DeliveryPage:
    """List what was or will be sent to a webhook, newest first. Messages that ended are kept for 30 days."""
    webhook = _existing(request, webhook_id, sender)
    found, following = _deliveries(request).page(webhook.id, state=state, before=cursor, limit=limit)
    if following is not None:
        url = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return DeliveryPage(deliveries=[_delivery(one) for one in found], next=following)


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202, responses=refusals(404, 409))
def redeliver(request: Request, webhook_id: str, delivery_id: str, sender: Submitter) -> Delivery:
    """Send a message again, under the same `webhook-id`; one that is being sent now is left alone."""
    return _delivery(_deliveries(request).redeliver(_enabled(request, webhook_id, sender).id, delivery_id))


def _existing(request: Request, webhook_id: str, sender: ApiKey) -> registry.Webhook:
    found = _webhooks(request).get(webhook_id, tenant_of(sender))
    if found is None:
        raise Problem(404, "WEBHOOK_UNKNOWN", "there is no such webhook")
    return found


def _enabled(request: Request, webhook_id: str, sender: ApiKey) -> registry.Webhook:
    found = _existing(request, webhook_id, sender)
    if found.disabled_at is not None:
        hint = "Enable it first: what waited is then sent."
        raise Problem(409, "WEBHOOK_DISABLED", f"the webhook is disabled: {found.disabled_because}", hint=hint)
    return found


def _delivery(found: sent.Delivery | None) -> Delivery:
    if found is None:
        raise Problem(404, "DELIVERY_UNKNOWN", "there is no such message")
    body = asdict(found) | {"webhook": found.webhook_id, "job": found.job_id}
    body["due_at"] = found.due_at if found.state == "pending" else None
    return Delivery(**{name: body[name] for name in Delivery.model_fields})
