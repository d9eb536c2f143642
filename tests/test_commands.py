"""Every command explains itself, with an example, and is named where newcomers look."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from service.cli.app import app

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"Example: roadscribe {name}" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_named_in_the_documents(name: str) -> None:
    text = "".join((ROOT / file).read_text() for file in ("README.md", "CONTRIBUTING.md"))
    assert f"roadscribe {name}" in text or f"make {name}" in text


def test_json_is_offered_wherever_a_script_reads() -> None:
    for name in COMMANDS:
        assert "--json" in CliRunner().invoke(app, [name, "--help"]).output
