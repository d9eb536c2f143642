"""`roadscribe serve`: the API and its executor on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.terminal import echo
from service.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    home: Annotated[Path | None, typer.Option("--home", help="Folder of ledger and artifacts.")] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", exists=True, file_okay=False, help="Folder that jobs may read. Repeatable."),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 for any.")] = None,
    executor: Annotated[
        Literal["ray", "local", "none"] | None,
        typer.Option("--executor", help="Where stages run; none = an executor runs elsewhere."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the URL as a line of JSON.")] = False,
) -> None:
    """Serve jobs over REST until Ctrl-C. Options override the ROADSCRIBE_ settings of the environment.

    Example: roadscribe serve --root /data/drives --port 8765
    """
    from service.supervise import announce_json
    from service.supervise import serve as run

    settings = load_settings(
        home=home,
        roots=":".join(str(path.absolute()) for path in root) if root else None,
        host=host,
        port=port,
        executor=None if executor == "none" else executor,
    )

    def announce(url: str) -> None:
        if as_json:
            announce_json(url)
        echo(f"Roadscribe listens on {url}; Ctrl-C stops it. Jobs may read: {settings.roots or 'nothing (--root)'}")

    run(settings, announce, executor=executor != "none")
    echo("stopped")
