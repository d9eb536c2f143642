"""`roadscribe validate`: everything that is wrong with a drive, each with its frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from service.cli.job_options import Format, Scene, Sweeps
from service.cli.terminal import put


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(validate)


def validate(
    drive: Annotated[Path, typer.Argument(help="Folder of the drive.")],
    format_: Format = "auto",
    scene: Scene = "",
    sweeps: Sweeps = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as JSON.")] = False,
) -> None:
    """List every problem of a drive with its frame; exit with 1 when there is one.

    Example: roadscribe validate my_drive
    """
    from recon.formats.read_drive import find_problems

    problems = list(find_problems(drive, format=format_, scene=scene, sweeps=sweeps))
    if as_json:
        put(json.dumps({"drive": str(drive), "problems": [problem.record() for problem in problems]}))
    else:
        for problem in problems:
            put(problem)
        put(f"{len(problems)} problem{'s'[: len(problems) > 1]}" if problems else "The drive is sound.")
    raise typer.Exit(1 if problems else 0)
