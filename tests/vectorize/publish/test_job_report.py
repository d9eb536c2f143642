"""The report of a job is read in one place, and what is no report is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recon.errors import ArtifactForeign, ArtifactInvalid
from vectorize.publish.job_report import REPORT, read_report


def test_a_report_is_read(tmp_path: Path) -> None:
    body = {"job": {"kind": "label"}, "stages": [], "seconds": 1.0}
    (tmp_path / REPORT).write_text(json.dumps(body))
    assert read_report(tmp_path) == body


@pytest.mark.parametrize("text", ["[]", "{}", "1", '{"stages": []}', '{"job": {}}', '{"job": [], "stages": []}'])
def test_what_is_no_report_of_a_job_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / REPORT).write_text(text)
    with pytest.raises(ArtifactForeign, match="not the report of a job"):
        read_report(tmp_path)


@pytest.mark.parametrize("data", [b"", b'{"job": ', b"\xff\xfe"])
def test_a_damaged_report_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / REPORT).write_bytes(data)
    with pytest.raises(ArtifactInvalid, match="does not parse") as caught:
        read_report(tmp_path)
    assert caught.value.where == str(tmp_path / REPORT)


def test_a_folder_without_a_report_is_no_result(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ArtifactForeign, match=r"holds no report\.json"):
            read_report(folder)
