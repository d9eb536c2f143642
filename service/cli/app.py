"""The commands together, and the border where errors become messages and exit codes."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from recon.errors import ConfigInvalid, RoadscribeError
from service.cli import (
    aggregate,
    campaign,
    city,
    dataset,
    demo,
    evaluate,
    export,
    gc,
    jobs,
    keys,
    label,
    predict,
    segment,
    serve,
    show,
    submit,
    train,
    truth,
    validate,
    webhooks,
)
from service.cli.terminal import echo, put
from service.client import ServiceUnreachable

OK, FAILED, USAGE, UNREACHABLE, DETACHED = 0, 1, 2, 3, 130

app = typer.Typer(
    name="roadscribe",
    help="Turn drives nobody annotated into vector-map pseudo labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
LOCAL = (demo, city, label, aggregate, evaluate, export, validate, truth)
MODELS = (segment, train, predict)
SERVICE = (serve, submit, jobs, show, campaign, dataset, keys, webhooks, gc)
for module in (*LOCAL, *SERVICE, *MODELS):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        put(version("roadscribe"))
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Turn drives nobody annotated into vector-map pseudo labels."""


def exit_code(error: RoadscribeError) -> int:
    """Return the exit code of an error: 2 for a wrong setting, 3 for a silent service, else 1."""
    if isinstance(error, ConfigInvalid):
        return USAGE
    return UNREACHABLE if isinstance(error, ServiceUnreachable) else FAILED


def main() -> None:
    """Run a command; a failure of the family is a message, never a traceback."""
    try:
        app()
    except RoadscribeError as error:
        echo(f"error: {error.message}")
        if error.where:
            echo(f"  where: {error.where}")
        if error.hint:
            echo(f"  what to do: {error.hint}")
        for note in getattr(error, "__notes__", []):
            for line in note.splitlines():  # the traceback of a defect of Roadscribe, from the worker
                echo(line)
        sys.exit(exit_code(error))
