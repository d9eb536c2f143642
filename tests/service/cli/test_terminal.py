import shutil
import subprocess
import sys

import pytest

from service.cli.table import print_line, print_table, table_of
from service.cli.terminal import printable

EVIL = 'bad\x1b]0;pwn\x07[red]<b>\n{"level": "fake"}\r\x9b31m\u202egpj'


def test_a_name_is_shown_and_not_obeyed():
    assert printable("größe 道路 👩‍🔧 a b") == "größe 道路 👩‍🔧 a b"
    shown = printable(EVIL)
    assert shown == 'bad\\x1b]0;pwn\\x07[red]<b>\\n{"level": "fake"}\\r\\x9b31m\\u202egpj'
    assert printable("\udc80") == "\\udc80"  # of a name that is no UTF-8


def test_tables_show_names_as_they_are(capsys):
    table = table_of("name", "value")
    table.add_row(EVIL, "[bold]1[/bold]")
    print_table(table)
    print_line(EVIL)
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(out)
    assert "[bold]1[/bold]" in out
    assert len(out.splitlines()) == 3


@pytest.fixture
def evil_folder(service):
    folder = service.home / "roots" / "bad\x1b]0;pwn\x07[red]<b>\nx"
    folder.mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_commands_do_not_pass_on_what_a_folder_is_called(service, evil_folder):
    for command in (["submit", str(evil_folder)], ["jobs"], ["validate", str(evil_folder)], ["show", str(evil_folder)]):
        full = [sys.executable, "-c", "from service.cli import main; main()", *command]
        full += ["--url", service.url] if command[0] in ("submit", "jobs") else []
        done = subprocess.run(full, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert not {"\x1b", "\x07"} & set(said), command
        assert "\nx" not in said
        if command[0] != "submit":
            assert "\\x1b]0;pwn" in said
