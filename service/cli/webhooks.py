"""`roadscribe webhooks`: addresses that the ends of jobs are sent to, and what was sent."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from service.cli.submit import DEFAULT_URL, AsJson, Url, connect
from service.cli.terminal import echo, put

WebhookId = Annotated[str, typer.Argument(help="Id of the webhook, as listed.")]
webhooks = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    text = """Register addresses that the ends of jobs are sent to, and see what was sent. All commands take --json.

    Example: roadscribe webhooks create https://example.com/roadscribe
    """
    app.add_typer(webhooks, name="webhooks", help=text)


@webhooks.command()
def create(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="URL that messages are sent to.")],
    event: Annotated[
        list[str] | None,
        typer.Option("--event", help="job.succeeded, job.failed or job.cancelled. Repeatable; default: all."),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Register an address; prints the id and the secret, which cannot be read again.

    Example: roadscribe webhooks create https://example.com/roadscribe --event job.failed
    """
    with connect(url) as client:
        made = client.create_webhook(address, event or ())
    put(json.dumps(made) if as_json else f"{made['id']}  {made['secret']}")
    if not as_json:
        echo("Keep the secret: it proves who sent a message, and is not shown again.")


@webhooks.command("list")
def list_(url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """List the webhooks, without their secrets.

    Example: roadscribe webhooks list
    """
    with connect(url) as client:
        found = client.webhooks()
    if as_json:
        put(json.dumps(found))
        return
    for one in found:
        state = f"disabled: {one['disabled_because']}" if one["disabled_at"] else "enabled"
        put(f"{one['id']}  {one['url']}  {','.join(one['events'])}  {state}")


@webhooks.command()
def delete(webhook_id: WebhookId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Delete a webhook, with what waits to be sent to it.

    Example: roadscribe webhooks delete 5e0d7c1b9a3f42d8b6c4e2a1f0d9c8b7
    """
    with connect(url) as client:
        client.delete_webhook(webhook_id)
    put(json.dumps({"deleted": webhook_id}) if as_json else "deleted")


@webhooks.command()
def enable(webhook_id: WebhookId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Send again to a webhook that was disabled after failures; what waited goes first.

    Example: roadscribe webhooks enable 5e0d7c1b9a3f42d8b6c4e2a1f0d9c8b7
    """
    with connect(url) as client:
        found = client.enable_webhook(webhook_id)
    put(json.dumps(found) if as_json else "enabled")


@webhooks.command()
def ping(webhook_id: WebhookId, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Send a message that only tests the way; prints its id.

    Example: roadscribe webhooks ping 5e0d7c1b9a3f42d8b6c4e2a1f0d9c8b7
    """
    with connect(url) as client:
        made = client.ping_webhook(webhook_id)
    put(json.dumps(made) if as_json else made["id"])


@webhooks.command()
def deliveries(
    webhook_id: WebhookId,
    state: Annotated[str, typer.Option("--state", help="Only pending, delivered or failed ones.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 20,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List what was or will be sent to a webhook, newest first.

    Example: roadscribe webhooks deliveries 5e0d7c1b9a3f42d8b6c4e2a1f0d9c8b7 --state failed
    """
    with connect(url) as client:
        page = client.deliveries(webhook_id, state=state, limit=limit)
    if as_json:
        put(json.dumps(page))
        return
    for one in page["deliveries"]:
        put(_line(one))


def _line(one: dict[str, Any]) -> str:
    created = datetime.fromtimestamp(one["created_at"]).strftime("%Y-%m-%d %H:%M:%S")
    tries = f"{one['attempts']} attempts"
    return f"{one['id']}  {created}  {one['type']:<14} {one['state']:<10} {tries}  {one['error']}".rstrip()


@webhooks.command()
def redeliver(
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(help="Id of the message, as listed.")],
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Send a message again, under its old id.

    Example: roadscribe webhooks redeliver 5e0d7c1b9a3f42d8b6c4e2a1f0d9c8b7 msg_8c1f...
    """
    with connect(url) as client:
        found = client.redeliver(webhook_id, delivery_id)
    put(json.dumps(found) if as_json else found["state"])
