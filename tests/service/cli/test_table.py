"""Tables of the command line never cut a name: on wide and narrow terminals, and in a pipe."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import painted_result
import pytest
from typer.testing import CliRunner

from service.cli import jobs
from service.cli.app import app

JOB = "0198f3c2-5d1e-7c40-9b7a-3f0e6c1d2a54"
DRIVE = "/data/drives/" + "a_drive_with_a_name_longer_than_any_terminal_" * 3
REPORT = {
    "job": {"kind": "label", "drive": DRIVE},
    "seconds": 1234.5,
    "peak_memory_mb": 1801.0,
    "coverage": 0.5,
    "classes": {
        name: {"elements": 120, "length_m": 12345.6, "longest_m": 1234.5, "score": 0.5, "styles": styles}
        for name, styles in (
            ("divider", {"dashed": 100, "double": 10, "solid": 9, "unknown": 1}),
            ("boundary", {}),
            ("ped_crossing", {}),
            ("stop_line", {}),
        )
    },
    "stages": [
        {"name": name, "state": state, "seconds": 1234.5, "peak_memory_mb": 1801.0}
        for name, state in (("ingest", "run"), ("segment 12", "skipped"), ("align", "run"))
    ],
    "trips": [{"name": DRIVE, "used": True, "shift_m": 0.5, "raised_m": 0.1, "residual_m": None}],
}
WIDTHS = [("40", "1"), ("80", "1"), ("200", "1"), ("40", ""), ("80", "")]  # columns, and whether it is a terminal


def printed(columns: str, terminal: str, *arguments: object) -> str:
    environment = {"COLUMNS": columns, "FORCE_COLOR": terminal, "TERM": "xterm"}
    done = CliRunner().invoke(app, [str(one) for one in arguments], env=environment)
    assert done.exit_code == 0, done.output
    return re.sub(r"\x1b\[[0-9;]*m", "", done.output)


def assert_whole(text: str, *names: str) -> None:
    assert "…" not in text
    words = text.split()
    for name in names:
        for word in name.split():
            assert word in words, f"{word} is cut:\n{text}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return painted_result.write(tmp_path_factory.mktemp("job"))


@pytest.mark.parametrize(("columns", "terminal"), WIDTHS)
def test_the_report_of_a_job(tmp_path: Path, columns: str, terminal: str) -> None:
    """`show` prints a report as `label`, `aggregate` and `demo` do."""
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    text = printed(columns, terminal, "show", tmp_path)
    assert_whole(text, *REPORT["classes"], "elements", "longest", "styles", "12345.6", "100 dashed,", f"{DRIVE}:")
    assert_whole(text, "segment 12", "1801 MB", "already done")


@pytest.mark.parametrize(("columns", "terminal"), WIDTHS)
def test_an_evaluation(folders: Any, columns: str, terminal: str) -> None:
    drive, out = folders
    text = printed(columns, terminal, "evaluate", out, "--truth", drive)
    assert_whole(text, "ped_crossing", "stop_line", "divider", "boundary", "labels", "median m", "Frechet", "raster")
    assert_whole(text, "reprojection", "images", "samples", "painted dividers", "flat ground, on both maps", "observed")


@pytest.mark.parametrize(("columns", "terminal"), WIDTHS)
def test_jobs_of_a_service(monkeypatch: pytest.MonkeyPatch, columns: str, terminal: str) -> None:
    class Service:
        def __enter__(self) -> Service:
            return self

        def __exit__(self, *_: object) -> None: ...

        def jobs(self, **_: object) -> dict[str, Any]:
            body = {
                "id": JOB,
                "state": "blocked",
                "created_at": 0.0,
                "attempt": 1,
                "max_attempts": 3,
                "stage": "segment 12",
            }
            progress = {"done": 1, "total": 2}
            facts = {"failure": None, "progress": progress, "kind": "label", "sources": DRIVE}
            return {"jobs": [body | facts], "next": None}

    monkeypatch.setattr(jobs, "connect", lambda url: Service())
    text = printed(columns, terminal, "jobs")
    assert_whole(text, JOB, "blocked (1 of 2 inputs)", "segment 12", DRIVE)


@pytest.mark.parametrize("columns", ["80", "40"])
def test_in_a_pipe_every_row_is_one_line(folders: Any, columns: str) -> None:
    drive, out = folders
    text = printed(columns, "", "evaluate", out, "--truth", drive)
    (heads,) = [line for line in text.splitlines() if line.split()[:1] == ["confidence,"]]
    assert heads.split() == ["confidence,", "site", "metres", "stated", "right", "(0.5", "m)", "ECE"]
    rows = [line.split() for line in text.splitlines()]
    assert any(row[:5] == ["flat", "ground,", "on", "both", "maps"] for row in rows)
