"""`roadscribe keys`: API keys of tenants, made on the machine of the service."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli.terminal import echo, put
from service.ledger.api_keys import READ, SUBMIT, ApiKeys

Home = Annotated[Path | None, typer.Option("--home", help="Folder of the service's ledger.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    text = """Create, list and revoke API keys of tenants, on the machine of the service. All commands take --json.

    Example: roadscribe keys create acme --days 90
    """
    app.add_typer(keys, name="keys", help=text)


def _open(home: Path | None) -> ApiKeys:
    from service.ledger.database import migrate, open_database
    from service.settings import load_settings

    settings = load_settings(home=home)
    engine = open_database(settings.url)
    migrate(engine, settings.home)
    return ApiKeys(engine)


@keys.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Whose jobs the key sees: lower-case letters, digits, hyphens.")],
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="read, submit or operate. Repeatable.")] = None,
    days: Annotated[float | None, typer.Option("--days", min=0, help="The key expires after so many days.")] = None,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Requests a second; 0 = no limit.")] = 0.0,
    open_jobs: Annotated[int, typer.Option("--open-jobs", min=0, help="Open jobs of the tenant; 0 = no limit.")] = 0,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is stored as a digest: nobody can read it again.

    Example: roadscribe keys create acme --days 90
    """
    made = _open(home).create(
        tenant, name=name, scopes=scope or (READ, SUBMIT), days=days, requests_per_s=rate, most_open_jobs=open_jobs
    )
    put(json.dumps({"key": made}) if as_json else made)


@keys.command("list")
def list_(home: Home = None, as_json: AsJson = False) -> None:
    """List all keys, without their secrets.

    Example: roadscribe keys list
    """
    found = _open(home).all()
    if as_json:
        put(json.dumps([{n: getattr(key, n) for n in key.__slots__} | {"scopes": sorted(key.scopes)} for key in found]))
        return
    for key in found:
        end = "revoked" if key.revoked_at else _date(key.expires_at) if key.expires_at else "no end"
        put(f"{key.id}  {key.tenant:<16} {','.join(sorted(key.scopes)):<20} {end:<12} {key.name}")


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as listed.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key, at once and for ever.

    Example: roadscribe keys revoke 0f3c2d5d1e7c409b
    """
    if not _open(home).revoke(key_id):
        echo("there is no such key, or it was revoked already")
        raise typer.Exit(1)
    put(json.dumps({"revoked": key_id}) if as_json else "revoked")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d")
